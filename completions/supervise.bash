# Completion of supervise(1) for bash.
# Made by `python -m supervise.pages` from the table of options; change it there.

_supervise()
{
    local cur=${COMP_WORDS[COMP_CWORD]} at=1 form=bare word option value
    COMPREPLY=()
    if (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[1]} == run ]]; then
        at=2 form=run
    elif (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[1]} == @(ps|top|show|logs|prune|ready|extend|stop|attach|wait|suggest|recover|left|sleep|config|submit|collect|help|man|doctor|completions|schema) ]]; then
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
                    while (( ${#word} > 1 )) && [[ pdqv == *"${word:0:1}"* ]]; do
                        word=${word:1}
                    done
                    option=-$word
                fi
                at=$((at + 1))
                if [[ $option == @(-a|--access-timeout|-t|--timeout|--completion-timeout|-i|--idle-timeout|--idle-on|--prompt-timeout|--idle-grace|--runner-margin|--memory-max|--access-on|--warn-at|--warn-signal|-x|--max-extension|--extend-by|--extend-on|--activity-window|--cpu-threshold|-s|--signal|-k|--kill-after|--stop-command|--stragglers|--drain|--diagnose|--dump-signal|--retries|--retry-on|--retry-delay|--retry-delay-max|--retry-output|--total-timeout|--on-timeout|--success-codes|--report|--events|--metrics|--junit|--hook|--ping|--ping-body|--ping-wait|--lock|--lock-mode|--lock-wait|--if-busy|--slots|--start-jitter|--name|--log|--log-max|--records-age|--records-number|--records-max|--on-interrupt|--max-recoveries|--keep-env|--redact|--streams|--prefix|--detach-after|--detach-after-idle|--heartbeat|--ci|--config|--profile) ]]; then
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
        _supervise_words '-a --access-timeout -t --timeout --completion-timeout -i --idle-timeout --idle-on --prompt-timeout --idle-grace --runner-margin --no-engine --memory-max --access-on --notify --warn-at --warn-signal -x --max-extension --extend-by --extend-on --activity-window --cpu-threshold -s --signal -k --kill-after --with-parent --stop-on-eof --stop-command --stragglers --drain --diagnose --dump-signal --retries --retry-on --retry-delay --retry-delay-max --retry-if-silent --retry-output --total-timeout -p --preserve-status --on-timeout --success-codes --report --events --metrics --junit --hook --ping --ping-body --ping-wait --lock --lock-mode --lock-wait --if-busy --slots --start-jitter --name --log --log-max --no-record --records-age --records-number --records-max --on-interrupt --max-recoveries --keep-env --redact --keep-secrets --pty --streams --timestamps --prefix --dry-run -d --detach --detach-after --detach-after-idle --json --live --heartbeat --quiet-unless-failed --ci --ci-fence -q --quiet -v --verbose --config --profile --help --version'
    elif [[ $form == run ]]; then
        _supervise_command "$COMP_CWORD"
    elif (( COMP_CWORD == 1 )); then
        _supervise_words 'run ps top show logs prune ready extend stop attach wait suggest recover left sleep config submit collect help man doctor completions schema'
    fi
}

# Complete a subcommand other than run: its options, their values, and the ids or names of runs.
_supervise_subcommand()
{
    local name=${COMP_WORDS[1]} options= listed= operands=
    case $name in
        config)
            (( COMP_CWORD == 2 )) && { _supervise_words 'show set path check'; return; }
            name+=" ${COMP_WORDS[2]}" ;;
    esac
    case $name in
        ps) options='-a --all -n --number -q --quiet --batches --json --help' ;;
        top) options='--order --once --help' ;;
        show) options='--html --json --help' listed=names,runs ;;
        logs) options='-f --follow --timestamps --stdout --stderr -n --lines --new --cursor --raw --help' listed=names,runs ;;
        prune) options='--older-than --keep --max-size --help' ;;
        ready) options='--help' listed=names,runs ;;
        extend) options='--help' listed=names,runs ;;
        stop) options='-s --signal --help' listed=names,batches,runs ;;
        attach) options='-r --read-only --help' listed=names,runs ;;
        wait) options='--for --until --new --cursor --json --help' listed=names,runs ;;
        suggest) options='--list --json --help' listed=names ;;
        recover) options='--dry-run --host --json --help' ;;
        left) options='--json --help' ;;
        sleep) options='--help' ;;
        'config show') options='--config --profile --json --help' ;;
        'config set') options='--config --profile --help' operands='access-timeout timeout completion-timeout idle-timeout idle-on prompt-timeout idle-grace runner-margin no-engine memory-max access-on notify warn-at warn-signal max-extension extend-by extend-on activity-window cpu-threshold signal kill-after with-parent stop-on-eof stop-command stragglers drain diagnose dump-signal retries retry-on retry-delay retry-delay-max retry-if-silent retry-output total-timeout preserve-status on-timeout success-codes report events metrics junit hook ping ping-body ping-wait lock lock-mode lock-wait if-busy slots start-jitter name log log-max no-record records-age records-number records-max on-interrupt max-recoveries keep-env redact keep-secrets pty streams timestamps prefix dry-run detach detach-after detach-after-idle json live heartbeat quiet-unless-failed ci ci-fence quiet verbose' ;;
        'config path') options='--config --help' ;;
        'config check') options='--config --help' ;;
        submit) options='--on -j --jobs --bundle --name --tasks --results --halt --engine-option --dry-run --resume --help' ;;
        collect) options='--wait --from --json --help' listed=batches ;;
        help) options='--help' operands='exit-codes limits access environment configuration ci cron agents batch' ;;
        man) options='--help' operands='supervise run ps top show logs prune ready extend stop attach wait suggest recover left sleep config submit collect help man doctor completions schema exit-codes limits access environment configuration ci cron agents batch retries stopping output terminal locks runs monitoring security report' ;;
        doctor) options='--json --help' ;;
        completions) options='--list --help' operands='bash zsh fish' ;;
        schema) options='--help' operands='report event config answer batch' ;;
    esac
    case "$name ${COMP_WORDS[COMP_CWORD - 1]}" in
        'ps -n') _supervise_words ''; return ;;
        'ps --number') _supervise_words ''; return ;;
        'top --order') _supervise_words 'left start cpu'; return ;;
        'show --html') _supervise_files; return ;;
        'logs -n') _supervise_words ''; return ;;
        'logs --lines') _supervise_words ''; return ;;
        'logs --cursor') _supervise_words ''; return ;;
        'prune --older-than') _supervise_words ''; return ;;
        'prune --keep') _supervise_words ''; return ;;
        'prune --max-size') _supervise_words ''; return ;;
        'stop -s') _supervise_words 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH'; return ;;
        'stop --signal') _supervise_words 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH'; return ;;
        'wait --for') _supervise_words ''; return ;;
        'wait --until') _supervise_list 'end access idle= match='; return ;;
        'wait --cursor') _supervise_words ''; return ;;
        'recover --host') _supervise_words ''; return ;;
        'config show --config') _supervise_files; return ;;
        'config show --profile') _supervise_listed profiles; return ;;
        'config set --config') _supervise_files; return ;;
        'config set --profile') _supervise_listed profiles; return ;;
        'config path --config') _supervise_files; return ;;
        'config check --config') _supervise_files; return ;;
        'submit --on') _supervise_words 'local slurm htcondor kubernetes'; return ;;
        'submit -j') _supervise_words ''; return ;;
        'submit --jobs') _supervise_words ''; return ;;
        'submit --bundle') _supervise_words ''; return ;;
        'submit --name') _supervise_words ''; return ;;
        'submit --tasks') _supervise_files; return ;;
        'submit --results') _supervise_files; return ;;
        'submit --halt') _supervise_words 'never soon now'; return ;;
        'submit --engine-option') _supervise_list ''; return ;;
        'submit --resume') _supervise_listed batches; return ;;
        'collect --from') _supervise_files; return ;;
        'completions --list') _supervise_list 'runs names batches profiles locks'; return ;;
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
        --idle-on) _supervise_words 'stdout stderr both' ;;
        --warn-signal) _supervise_words 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' ;;
        -s|--signal) _supervise_words 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' ;;
        --stragglers) _supervise_words 'report kill wait' ;;
        --diagnose) _supervise_words 'on off' ;;
        --dump-signal) _supervise_words 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' ;;
        --retry-output) _supervise_words 'all last' ;;
        --on-timeout) _supervise_words 'fail pass' ;;
        --ping-body) _supervise_words 'on off' ;;
        --if-busy) _supervise_words 'fail skip wait replace' ;;
        --on-interrupt) _supervise_words 'nothing rerun' ;;
        --streams) _supervise_words 'auto apart together' ;;
        --ci) _supervise_words 'auto github gitlab buildkite plain off' ;;
        --access-on) _supervise_list 'output match= port= listen file= unix= http= notify command= attach manual' ;;
        --extend-on) _supervise_list 'cpu socket connection output io' ;;
        --retry-on) _supervise_list 'access idle completion failed signaled resumable oom any code=' ;;
        --hook) _supervise_list 'started= access= warned= extended= verdict= settled= retrying= lost=' ;;
        --name) _supervise_listed names ;;
        --profile) _supervise_listed profiles ;;
        --lock) _supervise_listed locks ;;
        --report|--events|--metrics|--junit|--log|--config) _supervise_files ;;
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
