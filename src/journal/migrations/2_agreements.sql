-- What a change may be made to, and the agreement of a person that it was made by, which counts once.

ALTER TABLE operations ADD COLUMN bound TEXT;     -- JSON: identities; NULL when nobody looked
ALTER TABLE operations ADD COLUMN agreement TEXT;
CREATE UNIQUE INDEX operations_by_agreement ON operations (agreement) WHERE agreement IS NOT NULL;
