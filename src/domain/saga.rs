//! The order of a change's steps: forward, and back when it is to be unwound. Pure: what there is on
//! record decides what comes next, so that a change goes on after a crash as it would have without.

use serde::{Deserialize, Serialize};

/// What is on record about a step that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It was to be made: nobody knows whether it was.
    Intended,
    /// It was made.
    Done,
    /// The engine refused it: nothing was changed.
    Failed,
    /// It was made and undone, or is known not to have been made.
    Undone,
}

impl StepState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Intended, Self::Done, Self::Failed, Self::Undone];
}

/// Why a change goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A step failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// It was interrupted and may not be gone on with: its time is over, or what it needs is not on record.
    Interrupted,
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// On.
    Forward,
    /// Back.
    Back(Why),
}

/// What a failed step means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// They only make sense together: those before it are undone.
    Unwind,
    /// Each stands for itself.
    GoOn,
}

/// How a change ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything was made.
    Done,
    /// A step failed.
    Failed,
    /// Cancelled.
    Cancelled,
    /// Interrupted, and undone as far as it can be.
    RolledBack,
}

/// What comes next; the number is a step's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Look, put on record what is intended, act.
    Begin(usize),
    /// Find out whether it was made.
    Settle(usize),
    /// Undo it.
    Undo(usize),
    /// There is nothing more to do.
    End(Ending),
}

/// A change of so many steps, and which of them can be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For each step whether it can be undone.
    pub undoable: Vec<bool>,
    /// What a failure means.
    pub on_failure: OnFailure,
}

impl Plan {
    /// What comes next when `states` is on record, which are the first steps' in their order.
    pub fn next(&self, states: &[StepState], course: Course) -> Move {
        if let Some(doubtful) = states.iter().position(|state| *state == StepState::Intended) {
            return Move::Settle(doubtful);
        }
        let count = self.undoable.len();
        let failed = states.contains(&StepState::Failed);
        if states.len() == count && states.iter().all(|state| *state == StepState::Done) {
            return Move::End(Ending::Done);
        }
        let why = match course {
            Course::Back(why) => why,
            Course::Forward if failed && self.on_failure == OnFailure::Unwind => Why::Failed,
            Course::Forward if states.len() < count => return Move::Begin(states.len()),
            Course::Forward => return Move::End(Ending::Failed),
        };
        let may_be_undone = |at: &usize| states[*at] == StepState::Done && self.undoable[*at];
        if self.on_failure == OnFailure::Unwind
            && let Some(last) = (0..states.len()).rev().find(may_be_undone)
        {
            return Move::Undo(last);
        }
        Move::End(match why {
            Why::Failed => Ending::Failed,
            Why::Cancelled => Ending::Cancelled,
            Why::Interrupted => Ending::RolledBack,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What may come of a move.
    #[derive(Debug, Clone, Copy)]
    enum Luck {
        Well,
        Refused,
        Crash,
        Cancel,
    }

    fn luck() -> impl Strategy<Value = Luck> {
        prop_oneof![
            4 => Just(Luck::Well),
            1 => Just(Luck::Refused),
            1 => Just(Luck::Crash),
            1 => Just(Luck::Cancel)
        ]
    }

    proptest! {
        /// Whatever happens, a change ends; what it left made is what its ending says.
        #[test]
        fn every_change_ends_as_it_says(
            undoable in prop::collection::vec(any::<bool>(), 1..5),
            unwinds in any::<bool>(),
            lucks in prop::collection::vec(luck(), 0..40),
        ) {
            let on_failure = if unwinds { OnFailure::Unwind } else { OnFailure::GoOn };
            let plan = Plan { undoable: undoable.clone(), on_failure };
            let mut lucks = lucks.into_iter();
            let mut states: Vec<StepState> = vec![];
            let mut course = Course::Forward;
            // What is really there, which the record has to match in the end.
            let mut made = vec![false; undoable.len()];
            let mut undone_from = usize::MAX;
            let ending = loop {
                let luck = lucks.next().unwrap_or(Luck::Well);
                if matches!(luck, Luck::Cancel) && course == Course::Forward {
                    course = Course::Back(Why::Cancelled);
                }
                match plan.next(&states, course) {
                    Move::Begin(at) => {
                        prop_assert_eq!(at, states.len(), "steps begin in their order");
                        prop_assert!(course == Course::Forward);
                        states.push(StepState::Intended);
                        match luck {
                            Luck::Crash => made[at] = lucks.next().is_some_and(|luck| matches!(luck, Luck::Well)),
                            Luck::Refused => states[at] = StepState::Failed,
                            _ => { made[at] = true; states[at] = StepState::Done }
                        }
                    }
                    Move::Settle(at) => {
                        // Forward a step that was not made is made; back it counts as undone.
                        made[at] |= course == Course::Forward;
                        states[at] = if made[at] { StepState::Done } else { StepState::Undone };
                    }
                    Move::Undo(at) => {
                        prop_assert!(undoable[at] && made[at] && at < undone_from, "in reverse");
                        undone_from = at;
                        made[at] = false;
                        states[at] = StepState::Undone;
                    }
                    Move::End(ending) => break ending,
                }
            };
            for (at, state) in states.iter().enumerate() {
                prop_assert_eq!(made[at], *state == StepState::Done, "step {}", at);
            }
            match ending {
                Ending::Done => prop_assert!(made.iter().all(|made| *made)),
                _ if unwinds => prop_assert!((0..made.len()).all(|at| !made[at] || !undoable[at])),
                _ => prop_assert!(!made.iter().all(|made| *made)),
            }
        }
    }
}
