//! The built-in model. The hash of the prompt chooses its words, so the same prompt gives the same answer everywhere. A
//! demonstration can be checked, and no GPU is needed.

use sha2::{Digest, Sha256};

use crate::upstream::completion::{Completion, Task, Usage};

const WORDS: [&str; 32] = [
    "salt", "is", "paid", "and", "the", "block", "holds", "a", "proof", "of", "every", "token", "that",
    "you", "asked", "for", "while", "one", "chain", "moves", "on", "then", "another", "answer", "comes",
    "from", "light", "sea", "stone", "wind", "with", "care",
];

pub(crate) fn complete(task: &Task<'_>) -> Completion {
    let mut state = Sha256::digest(task.prompt.as_bytes());
    // Between 8 and 39 words, if the request allows as many.
    let wanted = 8 + u32::from(state[0] % 32);
    let count = wanted.min(task.max_tokens);
    let mut words = Vec::with_capacity(count as usize);
    for index in 0..count as usize {
        if index > 0 && index % 32 == 0 {
            state = Sha256::digest(state);
        }
        words.push(WORDS[usize::from(state[index % 32]) % WORDS.len()]);
    }
    let prompt_tokens = task.prompt.split_whitespace().count() as u64;
    Completion {
        output: words.join(" "),
        reasoning: None,
        refusal: None,
        finish_reason: if count < wanted { "length" } else { "stop" }.into(),
        usage: Usage {
            prompt_tokens,
            completion_tokens: u64::from(count),
            total_tokens: prompt_tokens + u64::from(count),
            estimated: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_prompt_gives_the_same_answer_within_its_limit() {
        let task =
            |prompt, max_tokens| Task { prompt, max_tokens, temperature: None, payer: None, hurried: false };
        let answer = complete(&task("why is the sea salt?", 64));
        assert_eq!(answer, complete(&task("why is the sea salt?", 64)));
        assert_ne!(answer.output, complete(&task("why is the sea salty?", 64)).output);
        assert_eq!(answer.finish_reason, "stop");
        let short = complete(&task("why is the sea salt?", 3));
        assert_eq!((short.usage.completion_tokens, short.finish_reason.as_str()), (3, "length"));
        assert!(answer.output.starts_with(&short.output));
    }
}
