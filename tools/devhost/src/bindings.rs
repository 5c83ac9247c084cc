//! The host side of the interfaces in `wit/`, generated.

wasmtime::component::bindgen!({
    path: "wit",
    world: "devhost:host/imports",
    imports: { default: async | trappable },
    with: { "spin:postgres/postgres.connection": deadpool_postgres::Object },
});
