//! How many blocks a question about logs spans.

use crate::state::IndexError;

/// The aimed size of an answer in bytes. Below it the question costs more than the answer; above it memory grows and
/// nothing is gained.
const AIM: u64 = 640 << 10;
/// How many blocks the first question spans. It loses little if they are full, and takes little time if they are empty.
const FIRST: u64 = 16;
/// After how many answers in a row a refused width is tried again. The number grows to the second value if the width is
/// refused again, and shrinks if it is answered.
const RETRY_AFTER: u32 = 64;
const LONGEST_RETRY: u32 = 4096;
const SHORTEST_RETRY: u32 = 8;
/// The most bytes of answers that are under way or wait to be stored.
const BUDGET: u64 = 16 << 20;
/// After a failure, how many answers in a row are needed before several are asked for at once.
const CALM: u32 = 4;
/// After how many failures in a row the width is reduced, whatever the failures are: a proxy may break off long
/// answers, or a node may give up on them.
const FAILURES: u32 = 2;
/// How many questions may be under way at once if their answers have the aimed size.
const IN_FLIGHT: u64 = 4;

/// How many blocks the next question spans: enough for an answer of the aimed size, and fewer than the node refused.
#[derive(Clone, Debug)]
pub(crate) struct RangeWidth {
    span: u64,
    /// The most blocks that the node is ever asked for.
    most: u64,
    /// A width that the node refused.
    refused: Option<u64>,
    /// The width that another reader of the same node knew to be refused.
    known: Option<u64>,
    /// A width that was not answered in time. The node may have been slow only for a moment.
    late: Option<u64>,
    /// The widest question below the refused width that was answered. This is the width to go back to, because a
    /// refusal costs a question and those that were asked beside it.
    passed: u64,
    /// Whether the node named the refused width, or another reader learned it. Then one block less is answered.
    exact: bool,
    /// The width that was refused before it is tried again, until the result is known.
    retried: Option<u64>,
    /// After how many answers in a row the refused width is tried again.
    retry_after: u32,
    /// How many answers in a row there were since then.
    answered: u32,
    /// Bytes of the largest of the latest answers.
    weight: u64,
    /// How many answers are still needed before several are asked for at once.
    caution: u32,
    /// Failures in a row.
    failures: u32,
}

impl RangeWidth {
    pub(crate) fn new(most: u64) -> Self {
        let most = most.max(1);
        // Nothing is known of the blocks yet. So the first question goes out alone.
        Self {
            span: FIRST.min(most),
            most,
            refused: None,
            known: None,
            late: None,
            passed: 0,
            exact: false,
            retried: None,
            retry_after: RETRY_AFTER,
            answered: 0,
            weight: AIM,
            caution: 1,
            failures: 0,
        }
    }

    /// Takes over which width is refused from another reader.
    pub(crate) fn know(&mut self, refused: Option<u64>) {
        let refused = refused.filter(|width| *width <= self.most);
        self.exact |= refused != self.refused;
        self.refused = refused;
        self.known = self.refused;
        self.span = self.span.clamp(1, self.widest());
    }

    /// How many blocks are refused, if that is new.
    pub(crate) fn news(&self) -> Option<Option<u64>> {
        (self.refused != self.known).then_some(self.refused)
    }

    /// How many blocks the next question spans.
    pub(crate) fn span(&self) -> u64 {
        self.span
    }

    /// How many questions may be under way at once. Only one if a single answer fills the budget: a block may hold a
    /// hundred thousand logs.
    ///
    /// For a while after a failure, also only one. Answers that were asked for ahead of a failed one are lost, and a
    /// node that fails now and then would fail nearly always.
    pub(crate) fn in_flight(&self) -> usize {
        if self.caution > 0 {
            return 1;
        }
        usize::try_from((BUDGET / 2 / self.weight.max(1)).clamp(1, IN_FLIGHT)).unwrap_or(1)
    }

    /// How many bytes may wait to be stored. Above that, nothing more is asked for.
    pub(crate) const fn budget() -> u64 {
        BUDGET
    }

    /// The node was asked too often. For a while there is one question at a time. It spans as many blocks as before,
    /// because narrower questions would be more questions.
    fn limited(&mut self) {
        self.caution = CALM;
    }

    /// Learns from an error that is not about the width.
    pub(crate) fn met(&mut self, error: &IndexError) {
        if error.asked_too_often() { self.limited() } else { self.failed() }
    }

    /// A question failed for another reason. If it fails again, fewer blocks are asked for, because not every node says
    /// that the range was too wide. The width grows back soon, since it was not refused.
    fn failed(&mut self) {
        self.limited();
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.span = (self.span / 2).max(1);
        }
    }

    /// An answer had this many bytes about this many blocks.
    pub(crate) fn answered(&mut self, blocks: u64, bytes: u64) {
        self.weight = bytes.max(self.weight - self.weight / 4);
        self.answered = self.answered.saturating_add(1);
        let calm = self.caution <= 1;
        self.caution = self.caution.saturating_sub(1);
        self.failures = 0;
        self.learn_from_answer(blocks);
        let fitting = blocks.saturating_mul(AIM).checked_div(bytes).map_or(self.most, |blocks| blocks.max(1));
        let grown = match self.limit() {
            // A width that just failed is not tried again at once.
            _ if !calm => self.span,
            None => self.span.saturating_mul(2),
            // Half of the refused width is tried in any case.
            Some(width) if self.span <= width / 4 => self.span.saturating_mul(2),
            Some(width) if self.exact && self.late.is_none() => width - 1,
            // Half of the way to the refused width, until the rest is not worth a refusal.
            Some(width) => match width.saturating_sub(self.span) / 2 {
                more if more > self.span / 8 => self.span + more,
                _ => self.settled(blocks),
            },
        };
        // An answer about fewer blocks does not show that more would fit. An answer that is too large always counts.
        self.span = if blocks < self.span { self.span.min(fitting) } else { grown.min(fitting) };
        self.span = self.span.clamp(1, self.widest());
    }

    /// The width to keep, because more is not worth a refusal. Wider questions count as refused, so that others do not
    /// try them again.
    fn settled(&mut self, blocks: u64) -> u64 {
        if self.refused.is_some() && self.late.is_none() && blocks >= self.span {
            (self.refused, self.exact) = (Some(self.span.saturating_add(1).max(2)), true);
        }
        self.span
    }

    /// What an answer about this many blocks says of the refused width.
    fn learn_from_answer(&mut self, blocks: u64) {
        self.passed = self.passed.max(blocks);
        if self.retried.is_some_and(|width| blocks >= width) {
            // The width was refused by chance or for its size. Wider questions may be answered too.
            (self.retried, self.retry_after) = (None, SHORTEST_RETRY);
        }
        if self.answered < self.retry_after {
            return;
        }
        // A range that was too large may hold fewer logs elsewhere, and another node may answer by now.
        let doubled = |width: u64| Some(width.saturating_mul(2)).filter(|width| *width <= self.most);
        self.retried = self.retried.or(self.refused);
        self.exact = false;
        (self.refused, self.late) = (self.refused.and_then(doubled), self.late.and_then(doubled));
        self.answered = 0;
    }

    /// The smallest width that should not be asked for.
    fn limit(&self) -> Option<u64> {
        self.refused.into_iter().chain(self.late).min()
    }

    /// The widest question that is asked.
    fn widest(&self) -> u64 {
        self.limit().map_or(self.most, |width| width.saturating_sub(1)).clamp(1, self.most)
    }

    /// Learns from an error that says, or may mean, that this many blocks are too many.
    pub(crate) fn too_much(&mut self, blocks: u64, error: &IndexError) {
        if error.is_late() {
            self.late(blocks);
        } else {
            self.refused(blocks, error.limit());
        }
    }

    /// A question about this many blocks was not answered in time.
    fn late(&mut self, blocks: u64) {
        self.late = Some(self.late.map_or(blocks, |width| width.min(blocks)).max(2));
        self.answered = 0;
        self.span = (self.span.min(blocks) / 2).max(1);
    }

    /// This many blocks are too many. `limit` is how many the node says that it answers. The next question is smaller
    /// in any case.
    fn refused(&mut self, blocks: u64, limit: Option<u64>) {
        let mut refused = self.refused.map_or(blocks, |width| width.min(blocks));
        if let Some(width) = self.retried.take() {
            refused = refused.min(width);
            self.retry_after = self.retry_after.saturating_mul(2).min(LONGEST_RETRY);
        }
        // The limit may be as wide as what was refused, or may be refused next. Then it is worth nothing.
        let limit = limit.filter(|limit| *limit < blocks);
        self.exact = limit.is_some();
        if let Some(limit) = limit {
            refused = refused.min(limit.saturating_add(1));
        }
        self.refused = Some(refused.max(2));
        self.answered = 0;
        if self.passed >= blocks {
            self.passed = 0;
        }
        let half = self.span.min(blocks) / 2;
        let back = if self.passed < self.span { half.max(self.passed) } else { half };
        self.span = limit.map_or(back, |limit| limit.min(self.span)).clamp(1, self.widest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_blocks_are_asked_for_by_ever_more_and_full_ones_by_few() {
        let mut range = RangeWidth::new(10_000);
        for _ in 0..12 {
            range.answered(range.span(), 100);
        }
        assert_eq!(range.span(), 10_000);
        range.answered(10_000, 100 * AIM);
        assert_eq!(range.span(), 100);
        range.answered(100, AIM);
        assert_eq!(range.span(), 100);
    }

    #[test]
    fn a_refused_width_is_not_asked_for_again_soon_and_not_avoided_for_ever() {
        let mut range = RangeWidth::new(2000);
        for _ in 0..12 {
            range.answered(range.span(), 0);
        }
        // The suggested limit is the one that was refused.
        range.refused(2000, Some(2000));
        assert_eq!(range.span(), 1000);
        range.refused(1000, Some(500));
        assert_eq!(range.span(), 500);
        for _ in 0..RETRY_AFTER - 1 {
            range.answered(range.span(), 0);
            assert!(range.span() < 1000);
        }
        for _ in 0..10 * RETRY_AFTER {
            range.answered(range.span(), 0);
        }
        assert_eq!(range.span(), 2000);
    }

    /// Asks a node that answers at most `limit` blocks. Returns how many of all questions were refused, and how wide
    /// the others were compared with the limit, in percent.
    fn against(limit: u64, says: Option<u64>, questions: u32) -> (u32, u64) {
        let mut range = RangeWidth::new(10_000);
        let (mut refused, mut blocks) = (0, 0);
        for _ in 0..questions {
            let span = range.span();
            if span > limit {
                refused += 1;
                range.refused(span, says);
            } else {
                blocks += span;
                range.answered(span, 0);
            }
        }
        (refused, blocks * 100 / (u64::from(questions - refused) * limit))
    }

    #[test]
    fn a_limit_that_is_not_named_costs_little_more_than_one_that_is() {
        for limit in [1, 2, 3, 5, 10, 100, 800, 2000, 3500] {
            for (says, least, most) in [(None, 75, 60), (Some(limit), 90, 30), (Some(limit * 2), 75, 80)] {
                let (refused, percent) = against(limit, says, 4000);
                assert!(percent >= least, "{percent} % of {limit} at once, where {says:?} is named");
                assert!(refused <= most, "{refused} of 4000 refused at {limit}, where {says:?} is named");
            }
        }
    }

    #[test]
    fn a_refusal_by_chance_is_forgotten_soon() {
        let mut range = RangeWidth::new(10_000);
        while range.span() > 1 {
            range.refused(range.span(), None);
        }
        let mut answers = 0;
        while range.span() < 10_000 {
            range.answered(range.span(), 0);
            answers += 1;
            assert!(answers <= 4 * RETRY_AFTER, "{} after {answers}", range.span());
        }
    }

    #[test]
    fn what_is_known_to_be_refused_is_approached_fast_and_not_asked_for() {
        let mut range = RangeWidth::new(10_000);
        range.know(Some(2001));
        let mut questions = 0;
        while range.span() < 2000 {
            range.answered(range.span(), 0);
            questions += 1;
            assert!(range.span() <= 2000 && questions < 20, "{} after {questions}", range.span());
        }
        assert_eq!(range.news(), None);
        // Now and then the refused width is tried again.
        while range.news().is_none() {
            range.answered(range.span(), 0);
            questions += 1;
            assert!(questions <= 2 * RETRY_AFTER, "it is never tried again");
        }
        assert_eq!(range.news(), Some(Some(4002)));
        for _ in 0..10 * RETRY_AFTER {
            range.answered(range.span(), 0);
        }
        assert_eq!((range.span(), range.news()), (10_000, Some(None)));
        // A profile that allows less makes it mean nothing.
        let mut narrow = RangeWidth::new(500);
        narrow.know(Some(2001));
        assert_eq!(narrow.news(), None);
    }

    #[test]
    fn an_answer_that_is_late_makes_questions_narrower_and_is_no_refusal() {
        let mut range = RangeWidth::new(1000);
        for _ in 0..12 {
            range.answered(range.span(), 0);
        }
        let late = salt402_chain::NodeError::Timeout { node: String::new(), after: Default::default() };
        range.too_much(1000, &late.into());
        assert_eq!((range.span(), range.news()), (500, None));
        for _ in 0..RETRY_AFTER - 1 {
            range.answered(range.span(), 0);
            assert!(range.span() < 1000);
        }
        for _ in 0..RETRY_AFTER {
            range.answered(range.span(), 0);
        }
        assert_eq!(range.span(), 1000);
    }

    #[test]
    fn it_shrinks_to_one_block_and_never_to_none() {
        let mut range = RangeWidth::new(8);
        for _ in 0..10 {
            let before = range.span();
            range.refused(before, None);
            assert!(range.span() < before || before == 1);
        }
        assert_eq!(range.span(), 1);
        range.answered(1, 0);
        assert_eq!(range.span(), 1, "two were refused");
    }

    #[test]
    fn answers_that_fill_the_budget_come_one_at_a_time() {
        let mut range = RangeWidth::new(8);
        assert_eq!(range.in_flight(), 1, "nothing is known yet");
        range.answered(1, 1000);
        assert_eq!(range.in_flight(), 4);
        range.answered(1, 60 << 20);
        assert_eq!(range.in_flight(), 1);
        for _ in 0..40 {
            range.answered(1, 1000);
        }
        assert_eq!(range.in_flight(), 4);
    }

    #[test]
    fn what_fails_again_and_again_is_asked_for_by_less_until_it_is_answered() {
        let mut range = RangeWidth::new(1000);
        for _ in 0..12 {
            range.answered(range.span(), 0);
        }
        range.failed();
        assert_eq!(range.span(), 1000, "once may be by chance");
        for expected in [500, 250, 125, 62] {
            range.failed();
            assert_eq!(range.span(), expected);
        }
        for _ in 0..CALM - 1 {
            range.answered(range.span(), 0);
            assert_eq!(range.span(), 62, "and not at once by more");
        }
        for _ in 0..5 {
            range.answered(range.span(), 0);
        }
        assert_eq!(range.span(), 1000);
        for _ in 0..20 {
            range.failed();
        }
        assert_eq!(range.span(), 1);
    }

    #[test]
    fn whoever_asks_too_often_asks_for_no_fewer_blocks() {
        let mut range = RangeWidth::new(1000);
        for _ in 0..12 {
            range.answered(range.span(), 0);
        }
        for _ in 0..5 {
            range.limited();
        }
        assert_eq!((range.span(), range.in_flight()), (1000, 1));
    }

    #[test]
    fn after_a_failure_questions_are_asked_one_by_one_for_a_while() {
        let mut range = RangeWidth::new(8);
        range.failed();
        for _ in 0..CALM {
            assert_eq!(range.in_flight(), 1);
            range.answered(1, 1000);
        }
        assert_eq!(range.in_flight(), 4);
    }
}
