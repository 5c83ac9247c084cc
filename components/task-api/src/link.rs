//! Links between the pages of a list.

/// The `Link` to the next page (RFC 8288): the request to `path` again, with another cursor.
pub(crate) fn next_link(path: &str, query: &str, cursor: &str) -> String {
    let kept = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    // Encodes the characters that a client may send as they are, but that would end the link's target.
    let kept = kept.map(|pair| pair.replace('<', "%3C").replace('>', "%3E"));
    let pairs: Vec<String> = kept.chain([format!("cursor={cursor}")]).collect();
    format!("<{path}?{}>; rel=\"next\"", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::next_link;

    #[test]
    fn the_next_page_has_the_same_query_with_another_cursor() {
        assert_eq!(
            next_link("/api/alice/tasks", "q=a%26b&cursor=old&&limit=2", "new"),
            "</api/alice/tasks?q=a%26b&limit=2&cursor=new>; rel=\"next\""
        );
        assert_eq!(next_link("/p", "", "c"), "</p?cursor=c>; rel=\"next\"");
        assert_eq!(
            next_link("/p", "q=>;", "c"),
            "</p?q=%3E;&cursor=c>; rel=\"next\""
        );
    }
}
