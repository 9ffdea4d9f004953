# JSON. Members of an object commute, elements of an array do not.
grammar json
files *.json *.jsonc *.webmanifest .babelrc .eslintrc
comment comment
declare pair key name=key
