# YAML. Keys of a mapping commute, items of a sequence do not.
grammar yaml
files *.yml *.yaml .clang-format
comment comment
declare block_mapping_pair key name=key
commute block_mapping: block_mapping_pair
