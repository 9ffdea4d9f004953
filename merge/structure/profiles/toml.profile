# TOML. Tables and keys commute; the tables of an array do not.
grammar toml
files *.toml Cargo.lock poetry.lock
comment comment
declare table table name=#bare_key|#dotted_key|#quoted_key
declare table_array_element table name=#bare_key|#dotted_key|#quoted_key
declare pair key name=#bare_key|#dotted_key|#quoted_key
commute document: table pair
commute table: pair
