-- A call with a key is on record before it is made, with the answer 'null' until it has one. Of an answer that is
-- text no more is kept than how it ended.

UPDATE answers SET answer = '""' WHERE answer LIKE '"%';
CREATE INDEX answers_by_age ON answers (at);
