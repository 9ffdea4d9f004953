# CSS. Rules cascade in their order: nothing commutes.
grammar css
files *.css
comment comment js_comment
identifier class_name id_name
declare rule_set rule name=#selectors
declare declaration property name=#property_name
declare keyframes_statement keyframes name=#keyframes_name
block stylesheet block
