# Completion of supervise(1) for bash.
# Made by `python -m supervise.pages` from the table of options; change it there.

_supervise()
{
    local cur=${COMP_WORDS[COMP_CWORD]} at=1 form=bare word option value
    COMPREPLY=()
    if (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[1]} == run ]]; then
        at=2 form=run
    elif (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[1]} == @(@SUBCOMMAND_PATTERN@) ]]; then
        _supervise_subcommand
        return
    fi
    while (( at < COMP_CWORD )); do
        word=${COMP_WORDS[at]}
        case $word in
            --)
                _supervise_command $((at + 1))
                return ;;
            -?*)
                option=$word
                if [[ $word != --* ]]; then
                    # -qt5 is -q and -t with the value 5; -qt is -q and -t whose value is the next word.
                    word=${word#-}
                    while (( ${#word} > 1 )) && [[ @SHORT_FLAGS@ == *"${word:0:1}"* ]]; do
                        word=${word:1}
                    done
                    option=-$word
                fi
                at=$((at + 1))
                if [[ $option == @(@WITH_VALUE@) ]]; then
                    # If = breaks words (COMP_WORDBREAKS), --name=value is three words.
                    [[ ${COMP_WORDS[at]} == = ]] && (( at < COMP_CWORD )) && at=$((at + 1))
                    if (( at >= COMP_CWORD )); then
                        [[ $cur == = ]] && cur=
                        _supervise_value "$option"
                        return
                    fi
                    at=$((at + 1))
                fi ;;
            *)
                [[ $form == run ]] && _supervise_command "$at"
                return ;;
        esac
    done
    if [[ $cur == -* ]]; then
        _supervise_words '@OPTIONS@'
    elif [[ $form == run ]]; then
        _supervise_command "$COMP_CWORD"
    elif (( COMP_CWORD == 1 )); then
        _supervise_words '@COMMANDS@'
    fi
}

# Complete a subcommand other than run: its options, their values, and the ids or names of runs.
_supervise_subcommand()
{
    local name=${COMP_WORDS[1]} options= listed= operands=
    case $name in
@GROUPS@
    esac
    case $name in
@SUBCOMMANDS@
    esac
    case "$name ${COMP_WORDS[COMP_CWORD - 1]}" in
@SUBCOMMAND_VALUES@
    esac
    if [[ $cur == -* ]]; then
        _supervise_words "$options"
    elif [[ -n $listed ]]; then
        _supervise_listed "$listed"
    elif [[ -n $operands ]]; then
        _supervise_words "$operands"
    fi
}

_supervise_value()
{
    case $1 in
@VALUES@
    esac
}

_supervise_words()
{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

# Complete the last of several words with commas between them.
_supervise_list()
{
    local before=
    [[ $cur == *,* ]] && before=${cur%,*},
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$1" -- "${cur#"$before"}")
    compopt -o nospace 2>/dev/null
}

# Complete words that supervise knows: runs, names, batches, profiles or locks. A word may have spaces and quotes.
_supervise_listed()
{
    local word begun=$cur quote=
    [[ $cur == [\'\"]* ]] && quote=${cur:0:1}
    begun=${begun#"$quote"}
    # But within single quotes, what is typed has backslashes before its special characters.
    [[ $quote != "'" ]] && begun=${begun//\\/}
    while IFS= read -r word; do
        [[ $word == "$begun"* ]] || continue
        case $quote in
            "'") word=${word//"'"/"'\''"} ;;
            '"')
                word=${word//'\'/'\\'} word=${word//'$'/'\$'}
                word=${word//'`'/'\`'} word=${word//'"'/'\"'} ;;
            *) printf -v word %q "$word" ;;
        esac
        # Readline adds the closing quote, but not where the word ends with one.
        [[ -n $quote && $word == *"$quote" ]] && word+=$quote
        COMPREPLY+=("$word")
    done < <(supervise completions --list "$1" 2>/dev/null)
}

_supervise_files()
{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

# Complete the command that begins at word $1 by its own completion.
_supervise_command()
{
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (( COMP_CWORD == $1 )); then
        # Without the package bash-completion: complete the name of a command, then files.
        mapfile -t COMPREPLY < <(compgen -c -- "$cur" | sort -u)
    else
        compopt -o bashdefault -o default 2>/dev/null
    fi
}

complete -F _supervise supervise
