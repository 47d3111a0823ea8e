# Completion of taxiflow for fish
function __taxiflow_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l lines ($program --complete $words "$current" 2>/dev/null)
    set -l flag (string match -r -- '^-[^=]*=' "$current")
    set -l value (string replace -r -- '^-[^=]*=' '' "$current")
    switch "$lines[1]"
        case files
            printf "$flag%s\n" (__fish_complete_path "$value")
        case folders
            printf "$flag%s\n" (__fish_complete_directories "$value" folder)
        case '*'
            set -e lines[1]
            printf '%s\n' $lines
    end
end
complete -c taxiflow -f -a '(__taxiflow_complete)'
