# Java. Methods, constructors and types commute; fields are initialized in order, constants of an enum have ordinals.
grammar java
files *.java
comment line_comment block_comment
import import_declaration
identifier identifier type_identifier
declare class_declaration class name=name
declare interface_declaration interface name=name
declare enum_declaration enum name=name
declare record_declaration record name=name
declare annotation_type_declaration annotation name=name
declare method_declaration method name=name params=parameters
declare constructor_declaration constructor name=name params=parameters
declare field_declaration field name=declarator/name
declare constant_declaration field name=declarator/name
declare enum_constant constant name=name
declare import_declaration - name=.
commute program: class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration
commute class_body: method_declaration constructor_declaration class_declaration interface_declaration enum_declaration record_declaration
commute interface_body: method_declaration class_declaration interface_declaration enum_declaration
commute enum_body_declarations: method_declaration constructor_declaration class_declaration interface_declaration
block block constructor_body
