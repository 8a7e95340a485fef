//! Which APIs are passed on, and which kinds of servers there are.

use std::fmt;

use salt402_protocol::{Code, Problem};

/// An API of model servers that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's completions of a text.
    Completions,
    /// OpenAI's embeddings.
    Embeddings,
    /// Anthropic's messages.
    Messages,
    /// OpenAI's responses.
    Responses,
    /// The order of documents by a query, as Jina, Cohere, vLLM and llama.cpp have it.
    Rerank,
    /// OpenAI's images from a text.
    Images,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Messages,
        Self::Responses,
        Self::Rerank,
        Self::Images,
    ];

    /// The path here, and at the model server.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Messages => "/v1/messages",
            Self::Responses => "/v1/responses",
            Self::Rerank => "/v1/rerank",
            Self::Images => "/v1/images/generations",
        }
    }

    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Rerank => "rerank",
            Self::Images => "images",
        }
    }

    /// An API by the word of the configuration.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.name() == name)
    }

    /// An API by its path.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.path() == path)
    }

    /// Whether an answer may be a stream of events.
    pub const fn is_streamable(self) -> bool {
        matches!(self, Self::Chat | Self::Completions | Self::Messages | Self::Responses)
    }

    /// Whether a request may say how many tokens are written at most.
    pub const fn writes_tokens(self) -> bool {
        self.is_streamable()
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of server a model runs on, which says which members of a body it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Server {
    /// Not known. Only members that all kinds know are passed on.
    #[default]
    Any,
    /// llama.cpp's `llama-server`.
    LlamaCpp,
    /// vLLM.
    Vllm,
    /// Ollama.
    Ollama,
    /// OpenAI, or a service that does what OpenAI's does.
    OpenAi,
}

impl Server {
    /// All kinds that have a name.
    pub const NAMED: [Self; 4] = [Self::LlamaCpp, Self::Vllm, Self::Ollama, Self::OpenAi];

    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vllm",
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
        }
    }

    /// The APIs that a model of such a server has if the configuration names none.
    pub const fn apis(self) -> &'static [Api] {
        match self {
            Self::Any => &[Api::Chat, Api::Completions],
            Self::OpenAi => &[Api::Chat, Api::Responses],
            Self::LlamaCpp | Self::Vllm | Self::Ollama => {
                &[Api::Chat, Api::Completions, Api::Messages, Api::Responses]
            }
        }
    }
}

/// A refusal of a body: what is wrong with which member, and what to do.
pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
