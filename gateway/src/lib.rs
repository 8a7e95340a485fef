//! Request into 402, grant, upstream and answer: the paid front of an OpenAI-compatible server.
