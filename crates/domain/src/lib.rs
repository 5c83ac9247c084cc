//! Pure types and rules of the Todo service.
