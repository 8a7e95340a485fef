//! Hostile requests to the gateway before servers that each read a request in their own way: the path that is priced is
//! the path that is sent.

use salt402_tests::{Stack, StackOptions, payment_details};

use crate::SALT402;
use crate::backends::{self, Backend, SECRET};
use crate::proxy_targets::{nothing_is_given_away, until_answered, what_is_plain_is_served};

/// One service before each server, under a name in its path, priced as proxies are elsewhere.
fn priced(port: u16) -> StackOptions {
    let path = |path: &str, more: &str| format!("[[gateway.services.paths]]\npath = \"{path}\"\n{more}\n");
    let sections = [
        format!("[[gateway.services]]\nname = \"files\"\nupstream = \"http://127.0.0.1:{port}\"\n"),
        path("/paid/*", "methods = [\"GET\", \"HEAD\", \"POST\"]\nprice = \"777\""),
        path("/paid/*", "price = \"900\""),
        path("/*", "price = \"0\""),
    ];
    StackOptions { sections: sections.concat(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_paid_path_is_served_unpaid_by_any_server_behind_the_gateway() {
    let files = tempfile::tempdir().unwrap();
    for Backend { name, port, .. } in &backends::all(files.path()) {
        let mut stack = Stack::start_with(SALT402, priced(*port)).await;
        until_answered(&stack.gateway, name, b"/free/file.txt", "a free file").await;
        what_is_plain_is_served(name, &stack.gateway).await;
        nothing_is_given_away(name, &stack.gateway).await;
        let url = format!("{}/paid/dear.txt?a=b&c=%20d", stack.gateway);
        let details = payment_details(&stack.get(&url).await);
        assert_eq!(details.resource.path, "/paid/dear.txt?a=b&c=%20d", "{name}");
        let proof = stack.payer().pay(&details).await.to_string();
        let quote = details.quote_id.as_str().to_owned();
        let request =
            stack.client.get(&url).header("x-payment-proof", proof).header("x-payment-quote", quote);
        let body = request.send().await.unwrap().text().await.unwrap();
        assert!(body.contains(SECRET), "{name}: {body}");
        stack.kill();
    }
}
