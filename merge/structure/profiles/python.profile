# Python. Statements of a module or class have an order, functions and classes among them have none.
grammar python
files *.py *.pyi *.pyw SConstruct SConscript wscript
comment comment
import import_statement import_from_statement future_import_statement
identifier identifier
declare function_definition function name=name
declare class_definition class name=name
declare decorated_definition - name=definition/name
commute module: function_definition class_definition decorated_definition
commute block: function_definition class_definition decorated_definition
