//! The files, and which of them a path names.

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A file of `static/`.
pub(crate) struct File {
    /// Where it is in `static/`, with a leading slash.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// The opaque part of its entity tag.
    pub(crate) tag: &'static str,
    pub(crate) content: &'static [u8],
    /// The same, compressed, where that is less.
    pub(crate) gzip: Option<&'static [u8]>,
}

impl File {
    /// The file that a path names; each page has an address of its own, and every other file is where it lies.
    pub(crate) fn at(path: &str) -> Option<&'static File> {
        let path = match path {
            "/" => "/app/index.html",
            "/operator" => "/operator/index.html",
            // One address for each page.
            "/app/index.html" | "/operator/index.html" => return None,
            other => other,
        };
        let place = FILES.binary_search_by(|file| file.path.cmp(path)).ok()?;
        FILES.get(place)
    }
}

/// Whether `Accept-Encoding` takes gzip (RFC 9110 section 12.5.3).
pub(crate) fn accepts_gzip(value: &str) -> bool {
    let quality = |wanted: &str| {
        value.split(',').find_map(|each| {
            let (name, parameters) = each.split_once(';').unwrap_or((each, ""));
            let quality = parameters.trim().strip_prefix("q=").unwrap_or("1");
            let is_wanted = name.trim().eq_ignore_ascii_case(wanted);
            is_wanted.then(|| quality.trim().parse::<f32>().unwrap_or(0.0))
        })
    };
    let quality = quality("gzip").or_else(|| quality("*"));
    quality.is_some_and(|quality| quality > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_where_it_lies_and_the_pages_at_their_addresses() {
        for file in FILES {
            let is_page = file.path.ends_with("/index.html");
            assert_eq!(File::at(file.path).is_none(), is_page, "{}", file.path);
        }
        for page in ["/", "/operator"] {
            assert!(File::at(page).is_some(), "{page}");
        }
        for nothing in [
            "",
            "/app",
            "/app/",
            "/operator/",
            "/app/vendor",
            "/index.html",
        ] {
            assert!(File::at(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for value in ["gzip", "deflate, GZIP;q=0.5", "*", "br, *;q=0.1"] {
            assert!(accepts_gzip(value), "{value}");
        }
        for value in [
            "",
            "br",
            "gzip;q=0",
            "gzip;q=0, *",
            "*;q=0",
            "gzip; q=nonsense",
        ] {
            assert!(!accepts_gzip(value), "{value}");
        }
    }
}
