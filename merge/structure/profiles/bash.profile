# Bash. Functions commute, commands do not.
grammar bash
files *.sh *.bash .bashrc .profile
comment comment
identifier variable_name command_name
declare function_definition function name=name
declare variable_assignment variable name=name
commute program: function_definition
block compound_statement
