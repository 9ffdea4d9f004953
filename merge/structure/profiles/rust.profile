# Rust. Items commute; their attributes belong to them and never move by themselves.
grammar rust
files *.rs
comment line_comment block_comment
prefix attribute_item
import use_declaration extern_crate_declaration
identifier identifier type_identifier field_identifier
declare function_item function name=name
declare function_signature_item function name=name
declare struct_item struct name=name
declare enum_item enum name=name
declare union_item union name=name
declare trait_item trait name=name
declare impl_item impl name=type params=trait
declare mod_item module name=name
declare const_item constant name=name
declare static_item static name=name
declare type_item type name=name
declare macro_definition macro name=name
declare use_declaration - name=argument
declare field_declaration field name=name
declare enum_variant variant name=name
commute source_file: function_item struct_item enum_item union_item trait_item impl_item const_item static_item type_item mod_item
commute declaration_list: function_item function_signature_item const_item type_item struct_item enum_item impl_item
block block
