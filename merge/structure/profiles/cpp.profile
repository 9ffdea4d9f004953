# C++. As C; members of a class that are functions commute, data members never.
grammar cpp
files *.cc *.cpp *.cxx *.c++ *.hh *.hpp *.hxx *.h++ *.ipp *.inl
comment comment
import preproc_include using_declaration
identifier identifier type_identifier field_identifier namespace_identifier
declare function_definition function name=declarator* params=declarator*/parameters
declare declaration variable name=declarator* params=declarator*/parameters
declare type_definition type name=declarator*
declare alias_declaration type name=name
declare struct_specifier struct name=name
declare class_specifier class name=name
declare union_specifier union name=name
declare enum_specifier enum name=name
declare namespace_definition namespace name=name
declare template_declaration - name=#function_definition/declarator*|#declaration/declarator*|#class_specifier/name|#struct_specifier/name params=#function_definition/declarator*/parameters|#declaration/declarator*/parameters
declare preproc_def macro name=name
declare preproc_function_def macro name=name
declare field_declaration field name=declarator* params=declarator*/parameters
declare enumerator enumerator name=name
commute translation_unit: function_definition declaration type_definition alias_declaration struct_specifier class_specifier union_specifier enum_specifier template_declaration preproc_def preproc_function_def
commute declaration_list: function_definition declaration type_definition alias_declaration struct_specifier class_specifier union_specifier enum_specifier template_declaration
commute field_declaration_list: function_definition template_declaration
block compound_statement
