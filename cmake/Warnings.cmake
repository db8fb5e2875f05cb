# suffice_warnings: what every source of ours is compiled with; linked PRIVATE, so never exported.
add_library(suffice_warnings INTERFACE)
target_compile_options(
  suffice_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall
            -Wextra
            -Wshadow
            -Wconversion
            -Wno-missing-field-initializers>  # designated initialisers leave the rest at its default
            # GCC 12 warns of overlaps in std::string's own operator+ where it optimises (its bug 105651).
            $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
            $<$<AND:$<BOOL:${SUFFICE_WERROR}>,$<COMPILE_LANGUAGE:CXX>>:-Werror>)
target_compile_definitions(suffice_warnings
                           INTERFACE $<$<BOOL:${SUFFICE_DCHECKS}>:SUFFICE_DCHECKS=1>)

# The arithmetic of the numbers that must agree bit for bit everywhere (the stated exponential, the
# noise) writes its fused multiply-adds out; the compiler must not add others.
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)

if(SUFFICE_SANITIZE)
  add_compile_options(-fsanitize=${SUFFICE_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SUFFICE_SANITIZE})
endif()
