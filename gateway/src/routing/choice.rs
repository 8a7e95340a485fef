//! Which of a route's models is asked: a pure function of what is known of them.

#![allow(clippy::float_arithmetic, reason = "times that are expected, and no money")]

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Whether its server answers.
    pub(crate) sold: bool,
    /// Whether as many requests run and wait there as it takes on.
    pub(crate) full: bool,
    /// How many requests are there, running and waiting.
    pub(crate) inside: usize,
    /// How many it runs at once; 0 if there is no limit.
    pub(crate) at_once: usize,
    /// Seconds until it answers, on average; 0 if nothing is known.
    pub(crate) latency: f64,
    /// Which part of its runs fails, from 0 to 1.
    pub(crate) errors: f64,
}

/// How many a server without a limit is thought to run at once.
const NOMINAL: usize = 64;
/// The least latency that is told apart, in seconds.
const LEAST: f64 = 0.001;

/// The best of these. `held` is the one that the session is with: it stays there as long as that is healthy and not full. The first
/// is taken of those that are equally good. `None` if there is none whose server answers.
pub(crate) fn choose(candidates: &[Standing], held: Option<usize>) -> Option<usize> {
    let open = |candidate: &Standing| candidate.sold && !candidate.full;
    if let Some(held) = held.filter(|held| candidates.get(*held).is_some_and(open)) {
        return Some(held);
    }
    // What is full is waited for if all are.
    best(candidates, open).or_else(|| best(candidates, |candidate| candidate.sold))
}

/// The best of all, for whoever has paid while no server answers.
pub(crate) fn choose_any(candidates: &[Standing]) -> Option<usize> {
    best(candidates, |_| true)
}

fn best(candidates: &[Standing], may: impl Fn(&Standing) -> bool) -> Option<usize> {
    let allowed = candidates.iter().enumerate().filter(|(_, candidate)| may(candidate));
    allowed.min_by(|(_, one), (_, other)| one.expected().total_cmp(&other.expected())).map(|(index, _)| index)
}

impl Standing {
    /// How long an answer is expected to take, in seconds, with waiting and with being asked again elsewhere.
    fn expected(&self) -> f64 {
        let at_once = if self.at_once == 0 { NOMINAL } else { self.at_once };
        // With this request, in turns of the server.
        let turns = (self.inside as f64 + 1.0) / at_once as f64;
        let waits = (turns - 1.0).max(0.0);
        let slower = 1.0 + turns.min(1.0) / 2.0;
        let succeeds = 1.0 - self.errors.clamp(0.0, 0.95);
        self.latency.max(LEAST) * (slower + waits) / (succeeds * succeeds)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FREE: Standing =
        Standing { sold: true, full: false, inside: 0, at_once: 4, latency: 0.0, errors: 0.0 };

    #[test]
    fn the_fastest_is_chosen_by_load_latency_and_errors() {
        assert_eq!(choose(&[], None), None);
        assert_eq!(choose(&[FREE, FREE], None), Some(0), "the operator's order");
        let slow = Standing { latency: 2.0, ..FREE };
        let fast = Standing { latency: 0.2, ..FREE };
        assert_eq!(choose(&[slow, fast], None), Some(1));
        // Fast and with a queue of twenty turns, or failing, it is not the fastest.
        assert_eq!(choose(&[slow, Standing { inside: 80, ..fast }], None), Some(0));
        assert_eq!(choose(&[slow, Standing { errors: 0.9, ..fast }], None), Some(0));
        assert_eq!(choose(&[Standing { inside: 3, ..FREE }, FREE], None), Some(1), "live load");
        assert_eq!(choose(&[Standing { full: true, ..fast }, slow], None), Some(1));
        assert_eq!(choose(&[Standing { sold: false, ..fast }, slow], None), Some(1));
        // All are full: the best is waited for. None answers: none is asked.
        assert_eq!(
            choose(&[Standing { full: true, ..slow }, Standing { full: true, ..fast }], None),
            Some(1)
        );
        let dead = Standing { sold: false, ..fast };
        assert_eq!((choose(&[dead], None), choose_any(&[dead])), (None, Some(0)));
        // A session stays, unless it cannot.
        assert_eq!(choose(&[slow, fast], Some(0)), Some(0));
        assert_eq!(choose(&[Standing { sold: false, ..slow }, fast], Some(0)), Some(1));
        assert_eq!(choose(&[Standing { full: true, ..slow }, fast], Some(0)), Some(1));
        assert_eq!(choose(&[slow, fast], Some(7)), Some(1));
    }

    fn standing() -> impl Strategy<Value = Standing> {
        (any::<bool>(), any::<bool>(), 0usize..500, 0usize..64, 0.0f64..100.0, 0.0f64..=1.0).prop_map(
            |(sold, full, inside, at_once, latency, errors)| Standing {
                sold,
                full,
                inside,
                at_once,
                latency,
                errors,
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_known_nobody_is_sent_where_it_is_worse(
            candidates in prop::collection::vec(standing(), 0..8),
            held in prop::option::of(0usize..8),
        ) {
            let open = |standing: &Standing| standing.sold && !standing.full;
            let chosen = choose(&candidates, held);
            prop_assert_eq!(chosen.is_some(), candidates.iter().any(|standing| standing.sold));
            let Some(chosen) = chosen else { return Ok(()) };
            prop_assert!(candidates[chosen].sold);
            if candidates.iter().any(open) {
                prop_assert!(open(&candidates[chosen]));
            }
            match held.filter(|held| candidates.get(*held).is_some_and(open)) {
                Some(held) => prop_assert_eq!(chosen, held),
                None => {
                    let as_good = |standing: &&Standing| open(standing) == open(&candidates[chosen]) && standing.sold;
                    for other in candidates.iter().filter(as_good) {
                        prop_assert!(candidates[chosen].expected() <= other.expected());
                    }
                }
            }
        }

        #[test]
        fn who_gets_worse_is_not_chosen_for_it(
            mut candidates in prop::collection::vec(standing(), 1..8),
            which in any::<prop::sample::Index>(),
            worse in standing(),
        ) {
            let which = which.index(candidates.len());
            let before = choose(&candidates, None);
            let one = &mut candidates[which];
            one.inside += worse.inside;
            one.latency += worse.latency;
            one.errors = one.errors.max(worse.errors);
            one.full |= worse.full;
            one.sold &= worse.sold;
            let after = choose(&candidates, None);
            // It may be chosen after only if it was before, or if nobody is better off: all that are sold are full.
            if after == Some(which) && before != after {
                prop_assert!(candidates.iter().all(|standing| !standing.sold || standing.full));
            }
        }
    }
}
