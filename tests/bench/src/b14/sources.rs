//! What the head asks of a node, as the contracts that are followed grow in number.

use salt402_tests::following;

use crate::figures::at_most;

const TOKENS: [u64; 3] = [0, 9, 99];
/// Blocks that are counted.
const BLOCKS: u64 = 20;

pub(crate) async fn run() -> anyhow::Result<()> {
    let salt402 = crate::salt402()?;
    for tokens in TOKENS {
        let (mut stack, node) = following(&salt402, tokens, "").await;
        let questions = || node.calls().values().sum::<u64>();
        let before = questions();
        for _ in 0..BLOCKS {
            stack.anvil.mine(1).await;
            stack.indexed(stack.anvil.height().await).await;
        }
        let each = (questions() - before) as f64 / BLOCKS as f64;
        let what = format!("asked for a block, {} tokens followed, `completeness = \"off\"`", tokens + 1);
        at_most("B14", each, "questions", 12.0, &what);
    }
    Ok(())
}
