# Completion of supervise(1) for fish.
# Made by `python -m supervise.pages` from the table of options; change it there.

function __supervise_rest --description 'The words of COMMAND up to the cursor; fails where COMMAND has not begun'
    set -l words (commandline -opc)[2..]
    set -l form bare
    contains -- "$words[1]" ps show logs prune ready extend stop attach wait recover left sleep config; and return 1
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
            case -a --access-timeout -t --timeout --completion-timeout -i --idle-timeout --idle-on --idle-grace --access-on --warn-at --warn-signal -x --max-extension --extend-by --extend-on --activity-window --cpu-threshold -s --signal -k --kill-after --stragglers --drain --diagnose --dump-signal --retries --retry-on --retry-delay --retry-delay-max --retry-output --total-timeout --success-codes --report --events --lock --lock-mode --lock-wait --name --log --log-max --records-age --records-number --records-max --on-interrupt --max-recoveries --keep-env --redact --streams --config --profile
                # Where its value is missing, that is what is being typed.
                set -q words[2]; or return 1
                set -e words[1..2]
            case '-?*'
                # -qt is -q and -t with its value still to come.
                if string match -qr -- '^-[pdqv]+[atixsk]$' $words[1]
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

function __supervise_command --description 'Hand over to the completion of COMMAND'
    complete -C (string join ' ' -- (__supervise_rest))
end

function __supervise_asks --description 'Whether the words up to the cursor begin with another command than run, or with this one'
    set -l words (commandline -opc)[2..]
    if set -q argv[1]
        test "$words[1..$(count $argv)]" = "$argv"
    else
        contains -- "$words[1]" ps show logs prune ready extend stop attach wait recover left sleep config
    end
end

function __supervise_group --description 'Whether this word alone stands before the cursor'
    set -l words (commandline -opc)[2..]
    test "$words" = $argv[1]
end

function __supervise_runs
    supervise ps --all --quiet 2>/dev/null
end

complete -c supervise -f
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a run -d 'Run a command under limits'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a config -d 'See config --help'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a ps -d 'List the runs that go on, the newest first, and those that are lost and not recovered yet'
complete -c supervise -n '__supervise_asks ps' -s a -l all -d 'Those that have ended, too'
complete -c supervise -n '__supervise_asks ps' -s n -l number -x -d 'No more than the newest N; 20 of --all without --json'
complete -c supervise -n '__supervise_asks ps' -s q -l quiet -d 'Their ids alone'
complete -c supervise -n '__supervise_asks ps' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks ps' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a show -d 'Show how a run went: its verdict, its time line with the deadlines, what it used, its last lines, and how to run it again'
complete -c supervise -n '__supervise_asks show' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks show' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks show' -k -a '(__supervise_runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a logs -d 'Print what a run has printed, as far as it is kept'
complete -c supervise -n '__supervise_asks logs' -s f -l follow -d 'Go on with what comes, until the run is over'
complete -c supervise -n '__supervise_asks logs' -l timestamps -d 'Begin each line with its time and its stream'
complete -c supervise -n '__supervise_asks logs' -l stdout -d 'What came on stdout alone'
complete -c supervise -n '__supervise_asks logs' -l stderr -d 'What came on stderr alone'
complete -c supervise -n '__supervise_asks logs' -s n -l lines -x -d 'The last LINES alone'
complete -c supervise -n '__supervise_asks logs' -l raw -d 'On a terminal too, the bytes as they were; without it, control characters are shown there as escapes'
complete -c supervise -n '__supervise_asks logs' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks logs' -k -a '(__supervise_runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a prune -d 'Remove the records of runs that ended long ago, and the oldest where all are too many or too large'
complete -c supervise -n '__supervise_asks prune' -l older-than -x -d 'What ended longer ago than this'
complete -c supervise -n '__supervise_asks prune' -l keep -x -d 'How many there may be'
complete -c supervise -n '__supervise_asks prune' -l max-size -x -d 'How much room all may take together; off for no such bound, 0 to remove all'
complete -c supervise -n '__supervise_asks prune' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a ready -d 'Say that the command of a run is up'
complete -c supervise -n '__supervise_asks ready' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks ready' -k -a '(__supervise_runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a extend -d 'Add to the deadline of a run that is in force, the access limit\'s before access, else the completion limit\'s'
complete -c supervise -n '__supervise_asks extend' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks extend' -k -a '(__supervise_runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a stop -d 'Cancel a run, and wait for its end'
complete -c supervise -n '__supervise_asks stop' -s s -l signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'The signal that asks the process tree to stop'
complete -c supervise -n '__supervise_asks stop' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks stop' -k -a '(__supervise_runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a attach -d 'Show what a run has printed and what it prints, to its end, and exit with its code'
complete -c supervise -n '__supervise_asks attach' -s r -l read-only -d 'Only watch: neither keys nor the size are passed on'
complete -c supervise -n '__supervise_asks attach' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks attach' -k -a '(__supervise_runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a wait -d 'Wait for the end of a run, and exit with its code'
complete -c supervise -n '__supervise_asks wait' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks wait' -k -a '(__supervise_runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a recover -d 'Find the runs that were lost, stop what is left of them, and run again those that are to be'
complete -c supervise -n '__supervise_asks recover' -l dry-run -d 'Only say what would be done'
complete -c supervise -n '__supervise_asks recover' -l host -x -d 'Recover the runs of the host NAME as well: this machine had that name, or another machine id, before'
complete -c supervise -n '__supervise_asks recover' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks recover' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a left -d 'Print the seconds that are left to the run that this is part of: to the deadline in force, and to the latest instant that it may live'
complete -c supervise -n '__supervise_asks left' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks left' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a sleep -d 'Sleep, or exit with 75 at once where that would outlast the run that this is part of'
complete -c supervise -n '__supervise_asks sleep' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_group config' -a show -d 'Show every option of run as it would be now, and who says so: a variable, a line of the configuration, or the default'
complete -c supervise -n '__supervise_asks config show' -l config -r -F -d 'Read the configuration from FILE instead of the user\'s own; /dev/null for none'
complete -c supervise -n '__supervise_asks config show' -l profile -x -d 'Use the options of this profile of the configuration, too'
complete -c supervise -n '__supervise_asks config show' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks config show' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_group config' -a set -d 'Write the value of an option into the configuration'
complete -c supervise -n '__supervise_asks config set' -l config -r -F -d 'Read the configuration from FILE instead of the user\'s own; /dev/null for none'
complete -c supervise -n '__supervise_asks config set' -l profile -x -d 'Set it in this profile'
complete -c supervise -n '__supervise_asks config set' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_group config' -a path -d 'Print the path of the configuration, there or not'
complete -c supervise -n '__supervise_asks config path' -l config -r -F -d 'Read the configuration from FILE instead of the user\'s own; /dev/null for none'
complete -c supervise -n '__supervise_asks config path' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_group config' -a check -d 'Say all that is wrong in the configuration, each with its line; exit with 125 where something is'
complete -c supervise -n '__supervise_asks config check' -l config -r -F -d 'Read the configuration from FILE instead of the user\'s own; /dev/null for none'
complete -c supervise -n '__supervise_asks config check' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_rest >/dev/null' -x -a '(__supervise_command)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s a -l access-timeout -x -d 'Stop (122) if the command has not come up this long after its start: no byte on stdout or stderr, or what --access-on says'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s t -l timeout -l completion-timeout -x -d 'Stop (124) if the command runs longer than this, counted from access'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s i -l idle-timeout -x -d 'Stop (123) if no byte of output comes for this long, counted from access'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l idle-on -x -a 'stdout stderr both' -d 'The output that resets the idle clock'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l idle-grace -x -d 'How far measured activity may put an idle stop off, in all, since the last byte'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l access-on -x -a 'output match= port= listen file= unix= http= notify command= attach manual' -d 'What shows that the command is up; it can stand several times, and any one is enough: output, match=REGEX, port=[HOST:]PORT, listen, file=PATH, unix=PATH, http=URL, notify, command=SHELL COMMAND, attach, manual. Without it, output'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l notify -d 'Hear what the command says of itself by sd_notify(3), its status and that it is alive, also where access does not hinge on it'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l warn-at -x -d 'Warn when this much is left before a deadline; off for never'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l warn-signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'Also send SIGNAL to the command itself, once, at the first mark of the completion deadline'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s x -l max-extension -x -d 'How much may be added to the completion deadline in all, while the process tree is active'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l extend-by -x -d 'How much one extension adds'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l extend-on -x -a '(__fish_append , cpu socket connection output io)' -d 'What counts as activity: CPU time, bytes on TCP sockets, an established connection, output, bytes read or written'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l activity-window -x -d 'How far back activity counts; at most a quarter of the limit'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l cpu-threshold -x -d 'The least CPU use over the window, in percent of one core, that counts as activity'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s s -l signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'The signal that asks the process tree to stop'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s k -l kill-after -x -d 'How long after that signal what is left is killed; 0 is at once'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l stragglers -x -a 'report kill wait' -d 'What to do with processes that outlive a command that ended by itself'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l drain -x -d 'How long to wait for more output while somebody else still holds the pipe of a command that has ended'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l diagnose -x -a 'on off' -d 'Show what the process tree was doing when a limit stopped it'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l dump-signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'Before a limit stops the tree, send SIGNAL to the command so that it can dump its state (QUIT for JVM and Go, USR1 for faulthandler), and give it a second to'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retries -x -d 'Run the command again, up to so many times; --retry-on says after which ends'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-on -x -a '(__fish_append , access idle completion failed signaled resumable any code=)' -d 'After which ends: the limits access, idle and completion, failed, signaled, resumable (75), code=N, the command\'s exit code, or any of these ends'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-delay -x -d 'How long to wait before the first retry, at most; it doubles with each'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-delay-max -x -d 'The longest that it gets'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-if-silent -d 'Retry only where not one byte of output was shown'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-output -x -a 'all last' -d 'Show the output of all attempts as it comes, or that of the last one alone, when it has ended'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l total-timeout -x -d 'Stop (124) if all attempts together, and the waits between them, take longer than this'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s p -l preserve-status -d 'Exit with the command\'s own status even if it was stopped'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l success-codes -x -d 'Exit codes of the command that mean success: supervise exits 0'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l report -r -F -d 'Write what happened as one JSON object, whole or not at all'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l events -r -F -d 'Append what happens as it happens, one JSON object a line'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l lock -x -d 'One at a time: while another run of yours on this machine holds the lock of that name, exit with 75 and say which. A file at an absolute path is a lock that several users can share'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l lock-mode -x -d 'The mode, as for chmod, of the file at that path where one is made (666); without it the umask decides'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l lock-wait -x -d 'How long to wait for the lock; 0 for not at all'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l name -x -d 'A name by which the run can be found: the last run of that name'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l log -r -F -d 'Append a plain copy of the output to FILE'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l log-max -x -d 'How much of the output the record keeps, 64KiB or more: the first quarter and the last three quarters of this; 0 for none'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l no-record -d 'Leave no record of the run on disk'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l records-age -x -d 'How long after its end a run stays on record; off for no such bound'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l records-number -x -d 'How many runs stay on record. The last runs of each name and the last failures go after all others'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l records-max -x -d 'How much room all records take together; off for no such bound, 0 for no record of a run that has ended'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l on-interrupt -x -a 'nothing rerun' -d 'What supervise recover does when supervise itself was killed or the machine went down under the run: nothing but stop what is left of it, or run it again as well'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l max-recoveries -x -d 'How often, at most, a run is run again by supervise recover'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l keep-env -x -d 'Variables of the environment to keep in the record, for when the run is run again; no others are'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l redact -x -d 'Show *** for what this regular expression finds in the words of the command, beside the passwords, tokens and secrets that are found by themselves; it can stand several times. off: find none by themselves'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l keep-secrets -d 'Keep what is shown as *** in a file of the record until the run is over, so that supervise recover can run it again'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l pty -d 'Give the command a terminal of its own: it does not buffer in blocks, and the keys are its own; a stdin that is no terminal stays its stdin'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l streams -x -a 'auto apart together' -d 'One pipe for stdout and stderr of the command, which keeps their order, or two. auto is one where both are the same open file (a terminal, 2>&1), or the run is detached'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s d -l detach -d 'Print the id of the run as soon as the command runs, and come back; its output goes into the record alone'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l live -d 'While the command is silent, show in a line on the terminal where the run is, and how long is left; the line is gone before the next byte'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s q -l quiet -d 'Say nothing but errors and the final message'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s v -l verbose -d 'Say more: start, access, every end'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l config -r -F -d 'Read the configuration from FILE instead of the user\'s own; /dev/null for none'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l profile -x -d 'Use the options of this profile of the configuration, too'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l help -d 'Show a help page and exit'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l version -d 'Show the version and exit'
