//! The members that choose how a model picks its tokens, and those that no API here takes.

use crate::api::forms::Form;
use crate::api::members::{ALL, LLAMA_CPP, Member, OPENAI, Rule, VLLM, member};

const LABEL: Rule = Rule::Dropped(Form::Word);
const TOKENS: &str = "send max_tokens: it is what the price counts";
const GRAMMAR: &str = "send response_format with a JSON schema";
const OTHERS: &str = "it reaches into the server or what it holds for others: leave it out";
const AGAIN: &str = "it makes the server write more than is counted: leave it out";
const TEMPLATE: &str = "the template is used as the server has it: leave it out";
const ANSWER: &str = "it changes the form of the answer: leave it out";

/// What chat completions and completions have in common.
pub(super) const SAMPLING: &[Member] = &[
    member("temperature", ALL, Rule::Harmless(Form::Number(0, 2))),
    member("top_p", ALL, Rule::Harmless(Form::Number(0, 1))),
    member("frequency_penalty", ALL, Rule::Harmless(Form::Number(-2, 2))),
    member("presence_penalty", ALL, Rule::Harmless(Form::Number(-2, 2))),
    member("seed", ALL, Rule::Harmless(Form::Integer(i64::MIN, i64::MAX))),
    member("stop", ALL, Rule::Harmless(Form::Texts)),
    member("logit_bias", LLAMA_CPP.and(VLLM).and(OPENAI), Rule::Harmless(Form::Numbers(-100, 100))),
    member("top_k", LLAMA_CPP.and(VLLM), Rule::Harmless(Form::Integer(-1, 1_000_000))),
    member("min_p", LLAMA_CPP.and(VLLM), Rule::Harmless(Form::Number(0, 1))),
    member("typical_p", LLAMA_CPP, Rule::Harmless(Form::Number(0, 1))),
    member("repeat_penalty", LLAMA_CPP, Rule::Harmless(Form::Number(0, 10))),
    member("repeat_last_n", LLAMA_CPP, Rule::Harmless(Form::Integer(-1, 1_000_000))),
    member("xtc_probability", LLAMA_CPP, Rule::Harmless(Form::Number(0, 1))),
    member("xtc_threshold", LLAMA_CPP, Rule::Harmless(Form::Number(0, 1))),
    member("mirostat", LLAMA_CPP, Rule::Harmless(Form::Integer(0, 2))),
    member("mirostat_tau", LLAMA_CPP, Rule::Harmless(Form::Number(0, 100))),
    member("mirostat_eta", LLAMA_CPP, Rule::Harmless(Form::Number(0, 100))),
    member("ignore_eos", LLAMA_CPP.and(VLLM), Rule::Harmless(Form::Bool)),
    member("repetition_penalty", VLLM, Rule::Harmless(Form::Number(0, 10))),
    member("min_tokens", VLLM, Rule::Harmless(Form::Integer(0, 1_000_000))),
    member("stop_token_ids", VLLM, Rule::Harmless(Form::Integers)),
    member("include_stop_str_in_output", VLLM, Rule::Harmless(Form::Bool)),
    member("skip_special_tokens", VLLM, Rule::Harmless(Form::Bool)),
    // They name the client or its request. The server is told the payer, and nothing else.
    member("user", ALL, LABEL),
    member("safety_identifier", ALL, LABEL),
    member("prompt_cache_key", ALL, LABEL),
    member("metadata", ALL, Rule::Dropped(Form::Object)),
    member("store", ALL, Rule::Dropped(Form::False)),
    member("service_tier", ALL, Rule::Dropped(Form::OneOf(&["auto", "default"]))),
    member("n_predict", ALL, Rule::Refused(TOKENS)),
    member("num_predict", ALL, Rule::Refused(TOKENS)),
    member("max_new_tokens", ALL, Rule::Refused(TOKENS)),
    member("max_output_tokens", ALL, Rule::Refused(TOKENS)),
    member("n_cmpl", ALL, Rule::Refused("send n")),
    member("best_of", ALL, Rule::Refused(AGAIN)),
    member("use_beam_search", ALL, Rule::Refused(AGAIN)),
    member("length_penalty", ALL, Rule::Refused(AGAIN)),
    member("grammar", ALL, Rule::Refused(GRAMMAR)),
    member("json_schema", ALL, Rule::Refused(GRAMMAR)),
    member("structured_outputs", ALL, Rule::Refused(GRAMMAR)),
    member("guided_json", ALL, Rule::Refused(GRAMMAR)),
    member("guided_regex", ALL, Rule::Refused(GRAMMAR)),
    member("guided_choice", ALL, Rule::Refused(GRAMMAR)),
    member("guided_grammar", ALL, Rule::Refused(GRAMMAR)),
    member("format", ALL, Rule::Refused(GRAMMAR)),
    member("id_slot", ALL, Rule::Refused(OTHERS)),
    member("lora", ALL, Rule::Refused(OTHERS)),
    member("priority", ALL, Rule::Refused(OTHERS)),
    member("kv_transfer_params", ALL, Rule::Refused(OTHERS)),
    member("cache_salt", ALL, Rule::Refused(OTHERS)),
    member("cache_prompt", ALL, Rule::Refused(OTHERS)),
    member("request_id", ALL, Rule::Refused(OTHERS)),
    member("vllm_xargs", ALL, Rule::Refused(OTHERS)),
    member("mm_processor_kwargs", ALL, Rule::Refused(OTHERS)),
    member("keep_alive", ALL, Rule::Refused(OTHERS)),
    member("options", ALL, Rule::Refused("send its members by their OpenAI names")),
    member("add_special_tokens", ALL, Rule::Refused(TEMPLATE)),
    member("truncate_prompt_tokens", ALL, Rule::Refused("send what is to be read: all of it is priced")),
    member("echo", ALL, Rule::Refused("the prompt is not sent back: leave it out")),
    member("prompt_logprobs", ALL, Rule::Refused(ANSWER)),
    member("return_prompt_text", ALL, Rule::Refused(ANSWER)),
    member("return_token_ids", ALL, Rule::Refused(ANSWER)),
    member("return_tokens_as_token_ids", ALL, Rule::Refused(ANSWER)),
    member("return_tokens", ALL, Rule::Refused(ANSWER)),
    member("response_fields", ALL, Rule::Refused(ANSWER)),
    member("return_progress", ALL, Rule::Refused(ANSWER)),
    member("timings_per_token", ALL, Rule::Refused(ANSWER)),
    member("n_probs", ALL, Rule::Refused("send logprobs and top_logprobs")),
];
