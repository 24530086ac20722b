# Completion of supervise(1) for fish.
# Made by `python -m supervise.pages` from the table of options; change it there.

function __supervise_rest --description 'Print the words of COMMAND up to the cursor; fail if COMMAND has not begun'
    set -l words (commandline -opc)[2..]
    set -l form bare
    contains -- "$words[1]" @SUBCOMMANDS@; and return 1
    if test "$words[1]" = run
        set form run
        set -e words[1]
    end
    while set -q words[1]
        switch $words[1]
            case --
                set -q words[2]; and string escape -- $words[2..]
                commandline -ct
                return 0
            case @WITH_VALUE@
                # If the value of the option is missing, it is the word being typed.
                set -q words[2]; or return 1
                set -e words[1..2]
            case '-?*'
                # -qt is -q and -t, and the value of -t is the next word.
                if string match -qr -- '^-[@SHORT_FLAGS@]+[@SHORTS_WITH_VALUE@]$' $words[1]
                    set -q words[2]; or return 1
                    set -e words[1]
                end
                set -e words[1]
            case '*'
                test $form = run; or return 1
                string escape -- $words
                commandline -ct
                return 0
        end
    end
    test $form = run; or return 1
    string match -q -- '-*' (commandline -ct); and return 1
    commandline -ct
end

function __supervise_command --description 'Complete COMMAND by its own completion'
    complete -C (string join ' ' -- (__supervise_rest))
end

function __supervise_asks --description 'Succeed if the words up to the cursor begin with a subcommand other than run, or with this one'
    set -l words (commandline -opc)[2..]
    if set -q argv[1]
        test "$words[1..$(count $argv)]" = "$argv"
    else
        contains -- "$words[1]" @SUBCOMMANDS@
    end
end

function __supervise_group --description 'Succeed if this word is the only one before the cursor'
    set -l words (commandline -opc)[2..]
    test "$words" = $argv[1]
end

function __supervise_listed --description 'Print words that supervise knows: runs, names, batches, profiles or locks'
    supervise completions --list $argv[1] 2>/dev/null
end

complete -c supervise -f
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a run -d 'Run a command under limits'
@SUBCOMMAND_LINES@
complete -c supervise -n '__supervise_rest >/dev/null' -x -a '(__supervise_command)'
@OPTIONS@
