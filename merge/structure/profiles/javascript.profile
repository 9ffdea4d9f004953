# JavaScript. Functions, classes and methods commute; fields of a class run in order.
grammar javascript
files *.js *.mjs *.cjs *.jsx
comment comment html_comment
import import_statement
identifier identifier property_identifier shorthand_property_identifier
declare function_declaration function name=name
declare generator_function_declaration function name=name
declare class_declaration class name=name
declare method_definition method name=name
declare field_definition field name=property
declare lexical_declaration variable name=#variable_declarator/name
declare variable_declaration variable name=#variable_declarator/name
declare pair - name=key
declare import_specifier - name=name
declare export_statement - name=declaration/name|declaration/#variable_declarator/name
commute program: function_declaration generator_function_declaration class_declaration export_statement
commute class_body: method_definition
block statement_block
