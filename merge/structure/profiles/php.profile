# PHP. Functions, classes and methods commute; constants and properties of a class keep their place.
grammar php
files *.php *.phtml *.inc
comment comment
import namespace_use_declaration
identifier name
declare function_definition function name=name
declare class_declaration class name=name
declare interface_declaration interface name=name
declare trait_declaration trait name=name
declare enum_declaration enum name=name
declare method_declaration method name=name
declare property_declaration property name=#property_element/name
declare const_declaration constant name=#const_element/#name
declare enum_case constant name=name
commute program: function_definition class_declaration interface_declaration trait_declaration enum_declaration
commute declaration_list: method_declaration
commute enum_declaration_list: method_declaration
block compound_statement
