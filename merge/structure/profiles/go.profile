# Go. Everything at the top of a file commutes but variables, whose initializers may run in order.
grammar go
files *.go
comment comment
import import_declaration import_spec
identifier identifier field_identifier type_identifier package_identifier
declare function_declaration function name=name
declare method_declaration method name=name params=receiver
declare type_declaration type name=#type_spec/name|#type_alias/name
declare const_declaration constant name=#const_spec/name
declare var_declaration variable name=#var_spec/name
declare field_declaration field name=name
declare method_elem method name=name
commute source_file: function_declaration method_declaration type_declaration const_declaration var_declaration
commute interface_type: method_elem
block statement_list
