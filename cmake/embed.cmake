# cmake -DINPUT=FILE -DNAME=NAME -DHEADER=HEADER -DOUTPUT=FILE.c -P embed.cmake: FILE as `const char NAME[]`, with a NUL
# behind it.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
string(REGEX REPLACE "(('[^']*',){16})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nconst char ${NAME}[] = {\n${bytes}0};\n")
