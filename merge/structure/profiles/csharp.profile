# C#. As Java; properties and events commute as well.
grammar c_sharp
files *.cs
comment comment
import using_directive
identifier identifier
declare namespace_declaration namespace name=name
declare class_declaration class name=name
declare struct_declaration struct name=name
declare record_declaration record name=name
declare interface_declaration interface name=name
declare enum_declaration enum name=name
declare delegate_declaration delegate name=name
declare method_declaration method name=name params=parameters
declare constructor_declaration constructor name=name params=parameters
declare property_declaration property name=name
declare field_declaration field name=#variable_declaration/#variable_declarator/name
declare event_field_declaration event name=#variable_declaration/#variable_declarator/name
declare enum_member_declaration constant name=name
commute compilation_unit: class_declaration struct_declaration record_declaration interface_declaration enum_declaration delegate_declaration namespace_declaration
commute declaration_list: class_declaration struct_declaration record_declaration interface_declaration enum_declaration delegate_declaration method_declaration constructor_declaration property_declaration event_field_declaration
block block
