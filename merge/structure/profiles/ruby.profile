# Ruby. Methods, classes and modules commute among statements, which do not.
grammar ruby
files *.rb *.rake *.gemspec Rakefile Gemfile Guardfile
comment comment
identifier identifier constant
declare method method name=name
declare singleton_method method name=name params=object
declare class class name=name
declare module module name=name
commute program: method singleton_method class module
commute body_statement: method singleton_method class module
block block_body
