# Markdown. Sections have an order: nothing commutes.
grammar markdown
files *.md *.markdown *.mdown
declare section section name=#atx_heading/heading_content|#setext_heading/heading_content
block document section
