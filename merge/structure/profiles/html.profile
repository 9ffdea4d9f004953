# HTML. Elements have an order: nothing commutes.
grammar html
files *.html *.htm *.xhtml
comment comment
identifier tag_name attribute_name
block document element
