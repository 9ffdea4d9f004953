# TypeScript with JSX. As JavaScript; members of interfaces commute, those of enums never.
grammar tsx
files *.tsx
comment comment html_comment
import import_statement
identifier identifier property_identifier shorthand_property_identifier type_identifier
declare function_declaration function name=name
declare generator_function_declaration function name=name
declare function_signature - name=name params=parameters
declare class_declaration class name=name
declare abstract_class_declaration class name=name
declare method_definition method name=name
declare method_signature - name=name params=parameters
declare abstract_method_signature method name=name params=parameters
declare public_field_definition field name=name
declare property_signature field name=name
declare interface_declaration interface name=name
declare type_alias_declaration type name=name
declare enum_declaration enum name=name
declare lexical_declaration variable name=#variable_declarator/name
declare variable_declaration variable name=#variable_declarator/name
declare pair - name=key
declare import_specifier - name=name
declare export_statement - name=declaration/name|declaration/#variable_declarator/name
commute program: function_declaration generator_function_declaration class_declaration abstract_class_declaration interface_declaration type_alias_declaration enum_declaration export_statement
commute class_body: method_definition
commute interface_body: property_signature method_signature
block statement_block
