#[test] fn a() { xtask::programs::KubernetesTools::prepare(&xtask::report::Report::new()).unwrap(); }
