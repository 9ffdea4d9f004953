# C. Struct fields and enumerators have an order; declarations at the top of a file and inside #if have none that a
# compiler would not refuse.
grammar c
files *.c *.h
comment comment
import preproc_include
identifier identifier type_identifier field_identifier
declare function_definition function name=declarator* params=declarator*/parameters
declare declaration variable name=declarator*
declare type_definition type name=declarator*
declare struct_specifier struct name=name
declare union_specifier union name=name
declare enum_specifier enum name=name
declare preproc_def macro name=name
declare preproc_function_def macro name=name
declare field_declaration field name=declarator*
declare enumerator enumerator name=name
commute translation_unit: function_definition declaration type_definition struct_specifier union_specifier enum_specifier preproc_def preproc_function_def
commute preproc_ifdef: function_definition declaration type_definition struct_specifier union_specifier preproc_def preproc_function_def
commute preproc_if: function_definition declaration type_definition struct_specifier union_specifier preproc_def preproc_function_def
commute declaration_list: function_definition declaration type_definition struct_specifier union_specifier
block compound_statement
