# Completion of taxiflow for bash. Bash splits words at : and =, so replies start after the last of them.
_taxiflow() {
  local line="${COMP_LINE:0:COMP_POINT}" word kind reply cut='' other=''
  local -a words
  read -a words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  word="${words[${#words[@]}-1]}"
  [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && cut="${word%"${word##*:}"}"
  [[ $word == *=* && $COMP_WORDBREAKS == *=* ]] && other="${word%"${word##*=}"}"
  (( ${#other} > ${#cut} )) && cut="$other"
  COMPREPLY=()
  {
    IFS= read -r kind
    while IFS=$'\t' read -r reply _; do COMPREPLY+=("${reply#"$cut"}"); done
  } < <("$1" --complete "${words[@]:1}" 2> /dev/null)
  case $kind in
    files | folders)
      compopt -o filenames 2> /dev/null
      local -a which=(-f)
      [[ $kind == folders ]] && which=(-d)
      while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen "${which[@]}" -- "${word#"$cut"}")
      ;;
  esac
}
complete -F _taxiflow taxiflow
