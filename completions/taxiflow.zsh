#compdef taxiflow
# Completion of taxiflow for zsh
_taxiflow() {
  local line
  local -a lines found
  lines=("${(@f)$("${words[1]}" --complete "${(@)words[2,CURRENT]}" 2> /dev/null)}")
  case ${lines[1]} in
    files | folders)
      [[ $PREFIX == -*=* ]] && compset -P '*='
      if [[ ${lines[1]} == folders ]]; then _files -/; else _files; fi
      ;;
    *)
      for line in "${(@)lines[2,-1]}"; do
        found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
      done
      _describe taxiflow found
      ;;
  esac
}
if [[ ${funcstack[1]} == _taxiflow ]]; then _taxiflow "$@"; else compdef _taxiflow taxiflow; fi
