# Completion of supervise(1) for fish.
# Made by `python -m supervise.pages` from the table of options; change it there.

function __supervise_rest --description 'Print the words of COMMAND up to the cursor; fail if COMMAND has not begun'
    set -l words (commandline -opc)[2..]
    set -l form bare
    contains -- "$words[1]" ps top show logs prune ready extend stop attach wait suggest recover left sleep config submit collect help man doctor completions schema; and return 1
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
            case -a --access-timeout -t --timeout --completion-timeout -i --idle-timeout --idle-on --prompt-timeout --idle-grace --runner-margin --memory-max --access-on --warn-at --warn-signal -x --max-extension --extend-by --extend-on --activity-window --cpu-threshold -s --signal -k --kill-after --stop-command --stragglers --drain --diagnose --dump-signal --retries --retry-on --retry-delay --retry-delay-max --retry-output --total-timeout --on-timeout --success-codes --report --events --metrics --junit --hook --ping --ping-body --ping-wait --lock --lock-mode --lock-wait --if-busy --slots --start-jitter --name --log --log-max --records-age --records-number --records-max --on-interrupt --max-recoveries --keep-env --redact --streams --prefix --detach-after --detach-after-idle --heartbeat --ci --config --profile
                # If the value of the option is missing, it is the word being typed.
                set -q words[2]; or return 1
                set -e words[1..2]
            case '-?*'
                # -qt is -q and -t, and the value of -t is the next word.
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

function __supervise_command --description 'Complete COMMAND by its own completion'
    complete -C (string join ' ' -- (__supervise_rest))
end

function __supervise_asks --description 'Succeed if the words up to the cursor begin with a subcommand other than run, or with this one'
    set -l words (commandline -opc)[2..]
    if set -q argv[1]
        test "$words[1..$(count $argv)]" = "$argv"
    else
        contains -- "$words[1]" ps top show logs prune ready extend stop attach wait suggest recover left sleep config submit collect help man doctor completions schema
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
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a config -d 'Show, set, find and check the defaults of the options'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a ps -d 'List running runs, and lost runs that are not recovered yet, newest first'
complete -c supervise -n '__supervise_asks ps' -s a -l all -d 'Also list runs that have ended'
complete -c supervise -n '__supervise_asks ps' -s n -l number -x -d 'List only the newest N runs; without this option --all lists 20, and --all --json lists all'
complete -c supervise -n '__supervise_asks ps' -s q -l quiet -d 'Print only the ids'
complete -c supervise -n '__supervise_asks ps' -l batches -d 'List the batches instead, those that have ended, too'
complete -c supervise -n '__supervise_asks ps' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks ps' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a top -d 'Show the runs that go on, live, with keys to show, stop, extend and attach to them'
complete -c supervise -n '__supervise_asks top' -l order -x -a 'left start cpu' -d 'Sort by the time that is left (left), the newest first (start), or by the CPU use (cpu)'
complete -c supervise -n '__supervise_asks top' -l once -d 'Print one frame and exit; this needs no terminal'
complete -c supervise -n '__supervise_asks top' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a show -d 'Show how a run went: its verdict, its time line with the deadlines, its CPU, memory and output, what its processes were doing when a limit stopped them, its last lines, and how to run it again'
complete -c supervise -n '__supervise_asks show' -l html -r -F -d 'Write the run as one page of HTML to FILE, with nothing to load from elsewhere; - is stdout'
complete -c supervise -n '__supervise_asks show' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks show' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks show' -k -a '(__supervise_listed names,runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a logs -d 'Print the recorded output of a run'
complete -c supervise -n '__supervise_asks logs' -s f -l follow -d 'Also print new output as it comes, until the run is over'
complete -c supervise -n '__supervise_asks logs' -l timestamps -d 'Begin each line with its time and its stream'
complete -c supervise -n '__supervise_asks logs' -l stdout -d 'Print only stdout'
complete -c supervise -n '__supervise_asks logs' -l stderr -d 'Print only stderr'
complete -c supervise -n '__supervise_asks logs' -s n -l lines -x -d 'Print only the last LINES lines'
complete -c supervise -n '__supervise_asks logs' -l new -d 'Print only output that no --new of this run has printed before'
complete -c supervise -n '__supervise_asks logs' -l cursor -x -d 'With --new: leave out only what a --new with this NAME has printed before'
complete -c supervise -n '__supervise_asks logs' -l raw -d 'On a terminal too, print the bytes as they were. Without this option control characters are shown there as escapes'
complete -c supervise -n '__supervise_asks logs' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks logs' -k -a '(__supervise_listed names,runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a prune -d 'Remove old records, and the oldest ones if there are too many or they take too much space'
complete -c supervise -n '__supervise_asks prune' -l older-than -x -d 'Remove records of runs that ended longer ago'
complete -c supervise -n '__supervise_asks prune' -l keep -x -d 'Keep at most N records'
complete -c supervise -n '__supervise_asks prune' -l max-size -x -d 'Keep at most SIZE of all records together; off for no bound, 0 to remove all'
complete -c supervise -n '__supervise_asks prune' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a ready -d 'Report that the command of a run is up'
complete -c supervise -n '__supervise_asks ready' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks ready' -k -a '(__supervise_listed names,runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a extend -d 'Give a run more time: add DURATION to its completion limit (-t)'
complete -c supervise -n '__supervise_asks extend' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks extend' -k -a '(__supervise_listed names,runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a stop -d 'Cancel a run, and wait for its end'
complete -c supervise -n '__supervise_asks stop' -s s -l signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'The signal that asks the process tree to stop'
complete -c supervise -n '__supervise_asks stop' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks stop' -k -a '(__supervise_listed names,batches,runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a attach -d 'Show the output of a run from its beginning to its end, and exit with the code of the run'
complete -c supervise -n '__supervise_asks attach' -s r -l read-only -d 'Only watch: send neither keys nor the size of the window'
complete -c supervise -n '__supervise_asks attach' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks attach' -k -a '(__supervise_listed names,runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a wait -d 'Wait for the end of a run, or for what comes first, and exit with the code of the run, or with 121 if it goes on'
complete -c supervise -n '__supervise_asks wait' -l for -x -d 'Wait so long at most: 121 if the run then goes on'
complete -c supervise -n '__supervise_asks wait' -l until -x -a 'end access idle= match=' -d 'Also end the wait when the command is up (access), when the run has printed nothing for so long (idle=DURATION), or when a line of its output matches (match=REGEX). The end of the run always ends the wait. May be given several times'
complete -c supervise -n '__supervise_asks wait' -l new -d 'Print only output that no --new of this run has printed before'
complete -c supervise -n '__supervise_asks wait' -l cursor -x -d 'With --new: leave out only what a --new with this NAME has printed before'
complete -c supervise -n '__supervise_asks wait' -l json -d 'Print the state, the exit code, what came first, and with --new the output, as a JSON object'
complete -c supervise -n '__supervise_asks wait' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks wait' -k -a '(__supervise_listed names,runs)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a suggest -d 'Suggest limits for the runs of a name (--name) from those on record'
complete -c supervise -n '__supervise_asks suggest' -l list -d 'Print only the names on record'
complete -c supervise -n '__supervise_asks suggest' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks suggest' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks suggest' -k -a '(__supervise_listed names)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a recover -d 'Find lost runs, stop the processes that are left of them, and run again those with --on-interrupt rerun'
complete -c supervise -n '__supervise_asks recover' -l dry-run -d 'Print what would be done, and do nothing'
complete -c supervise -n '__supervise_asks recover' -l host -x -d 'Also recover runs of the host NAME: an earlier name of this machine, or this machine with an earlier machine id'
complete -c supervise -n '__supervise_asks recover' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks recover' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a left -d 'Print the seconds that are left to the surrounding run: until its current deadline, and until the last instant to which that deadline can move'
complete -c supervise -n '__supervise_asks left' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks left' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a sleep -d 'Sleep for DURATION, or exit with 75 at once if the surrounding run ends before that'
complete -c supervise -n '__supervise_asks sleep' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_group config' -a show -d 'Show the value that each option of run has now, and its source: a variable, a line of the configuration, or the default'
complete -c supervise -n '__supervise_asks config show' -l config -r -F -d 'Read the configuration from FILE instead of your own; /dev/null for none'
complete -c supervise -n '__supervise_asks config show' -l profile -x -k -a '(__supervise_listed profiles)' -d 'Also use the options of this profile in the configuration'
complete -c supervise -n '__supervise_asks config show' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks config show' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_group config' -a set -d 'Write the value of an option into the configuration'
complete -c supervise -n '__supervise_asks config set' -l config -r -F -d 'Read the configuration from FILE instead of your own; /dev/null for none'
complete -c supervise -n '__supervise_asks config set' -l profile -x -k -a '(__supervise_listed profiles)' -d 'Set the option in this profile'
complete -c supervise -n '__supervise_asks config set' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks config set' -a 'access-timeout timeout completion-timeout idle-timeout idle-on prompt-timeout idle-grace runner-margin no-engine memory-max access-on notify warn-at warn-signal max-extension extend-by extend-on activity-window cpu-threshold signal kill-after with-parent stop-on-eof stop-command stragglers drain diagnose dump-signal retries retry-on retry-delay retry-delay-max retry-if-silent retry-output total-timeout preserve-status on-timeout success-codes report events metrics junit hook ping ping-body ping-wait lock lock-mode lock-wait if-busy slots start-jitter name log log-max no-record records-age records-number records-max on-interrupt max-recoveries keep-env redact keep-secrets pty streams timestamps prefix dry-run detach detach-after detach-after-idle json live heartbeat quiet-unless-failed ci ci-fence quiet verbose'
complete -c supervise -n '__supervise_group config' -a path -d 'Print the path of the configuration file, also if the file does not exist'
complete -c supervise -n '__supervise_asks config path' -l config -r -F -d 'Read the configuration from FILE instead of your own; /dev/null for none'
complete -c supervise -n '__supervise_asks config path' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_group config' -a check -d 'Print each error in the configuration with its line; exit with 125 if there is one'
complete -c supervise -n '__supervise_asks config check' -l config -r -F -d 'Read the configuration from FILE instead of your own; /dev/null for none'
complete -c supervise -n '__supervise_asks config check' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a submit -d 'Run COMMAND once for each ITEM, or each line of --tasks FILE, each time as a supervised run'
complete -c supervise -n '__supervise_asks submit' -l on -x -a 'local slurm htcondor kubernetes' -d 'What runs the tasks'
complete -c supervise -n '__supervise_asks submit' -s j -l jobs -x -d 'Run N tasks at once; without this option, one for each CPU (local), or as many as the engine can'
complete -c supervise -n '__supervise_asks submit' -l bundle -x -d 'Slurm: run N tasks, one after the other, in each task of the array; without this option 1. This is faster for many short tasks'
complete -c supervise -n '__supervise_asks submit' -l name -x -d 'Name the batch; its runs are called BATCH.1, BATCH.2, ..'
complete -c supervise -n '__supervise_asks submit' -l tasks -r -F -d 'Take each line of FILE for an item; - is stdin'
complete -c supervise -n '__supervise_asks submit' -l results -r -F -d 'Write the report of each task to DIR/NUMBER.json, and its output to DIR/NUMBER.out. Without this option DIR is BATCH.results'
complete -c supervise -n '__supervise_asks submit' -l halt -x -a 'never soon now' -d 'What to do after a task that has not succeeded: go on (never), start no more tasks (soon), or also cancel those that run (now)'
complete -c supervise -n '__supervise_asks submit' -l engine-option -x -d 'Give OPTION to the program of the engine: --engine-option=-pgpu for sbatch. Repeat the option for several. For kubernetes, --image=IMAGE is needed'
complete -c supervise -n '__supervise_asks submit' -l dry-run -d 'Print what would be run, and run nothing'
complete -c supervise -n '__supervise_asks submit' -l resume -x -k -a '(__supervise_listed batches)' -d 'Run the tasks of BATCH that are left, with no COMMAND: what was not started, was lost or cancelled, or can be tried again (75)'
complete -c supervise -n '__supervise_asks submit' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a collect -d 'Say what has become of each task of a batch'
complete -c supervise -n '__supervise_asks collect' -l wait -d 'Wait for the end of the batch first'
complete -c supervise -n '__supervise_asks collect' -l from -r -F -d 'Ask no cluster, but read its answer from FILE (- is stdin): that of kubectl get pods -o json, or of podman inspect'
complete -c supervise -n '__supervise_asks collect' -l json -d 'Print a JSON object with all tasks'
complete -c supervise -n '__supervise_asks collect' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks collect' -k -a '(__supervise_listed batches)'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a help -d 'Print the overview of supervise, the text of a topic, or the help page of a subcommand'
complete -c supervise -n '__supervise_asks help' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks help' -a 'exit-codes limits access environment configuration ci cron agents batch'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a man -d 'Show a page of the manual'
complete -c supervise -n '__supervise_asks man' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks man' -a 'supervise run ps top show logs prune ready extend stop attach wait suggest recover left sleep config submit collect help man doctor completions schema exit-codes limits access environment configuration ci cron agents batch retries stopping output terminal locks runs monitoring security report'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a doctor -d 'Say what this system gives to a run, and what supervise uses instead of what is missing'
complete -c supervise -n '__supervise_asks doctor' -l json -d 'Print JSON'
complete -c supervise -n '__supervise_asks doctor' -l help -d 'Show a help page and exit'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a completions -d 'Print the completions for bash, zsh or fish'
complete -c supervise -n '__supervise_asks completions' -l list -x -a '(__fish_append , runs names batches profiles locks)' -d 'Print the words of these kinds instead, one a line, as the completions do: the ids of the newest runs, the names of runs, the batches, the profiles of the configuration, the locks'
complete -c supervise -n '__supervise_asks completions' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks completions' -a 'bash zsh fish'
complete -c supervise -n 'test (count (commandline -opc)) = 1' -a schema -d 'Print the JSON Schema of the report, the events or the configuration'
complete -c supervise -n '__supervise_asks schema' -l help -d 'Show a help page and exit'
complete -c supervise -n '__supervise_asks schema' -a 'report event config answer batch'
complete -c supervise -n '__supervise_rest >/dev/null' -x -a '(__supervise_command)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s a -l access-timeout -x -d 'Stop (122) if the command is not up within this time: no output has come, or no sign of --access-on'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s t -l timeout -l completion-timeout -x -d 'Stop (124) if the command runs longer than this, counted from access'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s i -l idle-timeout -x -d 'Stop (123) if the command prints nothing for this long, counted from access'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l idle-on -x -a 'stdout stderr both' -d 'The output that resets the idle clock'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l prompt-timeout -x -d 'Stop (123) if a process has waited this long in a read of stdin or the terminal while nothing else in the process tree works'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l idle-grace -x -d 'Put an idle stop off while the process tree is active, by at most this much since the last byte of output'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l runner-margin -x -d 'Stop (75, resumable) this long before the end of the CI job where the job tells its end (GitLab, Buildkite, or SUPERVISE_DEADLINE), so that the rest of the job has time; 75 at once if no more is left'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l no-engine -d 'Do not end (75, resumable) before the end of the job around this run, as Slurm, HTCondor or Kubernetes tells it'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l memory-max -x -d 'Kill the process tree (137, out of memory) if all of it together has more than this in memory. A cgroup holds the limit where supervise may make one, samples do elsewhere'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l access-on -x -a 'output match= port= listen file= unix= http= notify command= attach manual' -d 'The sign that the command is up: output, match=REGEX, port=[HOST:]PORT, listen, file=PATH, unix=PATH, http=URL, notify, command=SHELL COMMAND, attach, manual. Repeat the option for several signs; the first one seen counts. Without the option, the sign is output'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l notify -d 'Give the command a socket for sd_notify(3), for its status and its watchdog, also without --access-on notify'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l warn-at -x -d 'Warn when this much time is left before a deadline; off for no warnings'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l warn-signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'Send SIGNAL to the command itself, once, with the first warning before the completion deadline'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s x -l max-extension -x -d 'Extend the completion deadline while the process tree is active, by at most this much in all'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l extend-by -x -d 'The time that one extension adds'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l extend-on -x -a '(__fish_append , cpu socket connection output io)' -d 'What counts as activity: CPU time, bytes on TCP sockets, an established TCP connection, output, or bytes read or written'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l activity-window -x -d 'How far back activity counts, at most a quarter of the limit'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l cpu-threshold -x -d 'The least CPU use over the window, in percent of one core, that counts as activity'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s s -l signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'The signal that asks the process tree to stop'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s k -l kill-after -x -d 'Kill what is left of the process tree this long after the signal; 0 for at once'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l with-parent -d 'Stop the command when the process that started supervise is gone'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l stop-on-eof -d 'Stop the command when its stdin, a pipe or a socket, has ended: ssh HOST supervise --stop-on-eof -- COMMAND ends with the connection'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l stop-command -x -d 'Run the shell command COMMAND when the process tree is stopped, to end what a daemon does on the command\'s behalf: docker stop NAME. It has the time of --kill-after'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l stragglers -x -a 'report kill wait' -d 'What to do with processes that are left when the command has ended by itself'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l drain -x -d 'How long to wait for the end of the output after the command has ended, while another process holds the pipe'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l diagnose -x -a 'on off' -d 'Show what the process tree was doing when a limit stopped it'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l dump-signal -x -a 'TERM INT HUP QUIT KILL USR1 USR2 ABRT ALRM CONT STOP TSTP WINCH' -d 'Before a limit stops the tree, send SIGNAL to the command and give it one second to dump its state: QUIT for a JVM or Go, USR1 for Python\'s faulthandler'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retries -x -d 'Run the command again, at most N times; --retry-on says after which outcomes'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-on -x -a '(__fish_append , access idle completion failed signaled resumable oom any code=)' -d 'The outcomes after which the command is run again: a limit (access, idle, completion), failed, signaled, resumable (75), oom (out of memory), an exit code of the command (code=N), or every end that is not a success (any)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-delay -x -d 'The wait before the first retry. It doubles with each further retry; chance shortens it by up to a quarter'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-delay-max -x -d 'The longest wait before a retry'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-if-silent -d 'Run the command again only if it has printed nothing'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l retry-output -x -a 'all last' -d 'Show the output of all attempts as it comes, or only that of the last attempt, when it has ended'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l total-timeout -x -d 'Stop (124) if all attempts and the waits between them together take longer than this'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s p -l preserve-status -d 'Exit with the command\'s own status even if it was stopped'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l on-timeout -x -a 'fail pass' -d 'What it means if --timeout stops the command: exit with 124 (fail), or with 0 (pass) for a soak test or a fuzzer, which has succeeded then'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l success-codes -x -d 'Exit codes of the command that mean success; for these supervise exits with 0'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l report -r -F -d 'Write a report of the run to FILE when it ends, as one JSON object'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l events -r -F -d 'Append each event of the run to FILE as it happens, one JSON object a line'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l metrics -r -F -d 'When the run ends, replace FILE.prom by metrics of the run, for node_exporter\'s textfile collector'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l junit -r -F -d 'Write JUnit XML to FILE when the run ends, with a test case for each attempt'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l hook -x -a 'started= access= warned= extended= verdict= settled= retrying= lost=' -d 'Run the shell command COMMAND beside the run when EVENT happens (started, access, warned, extended, verdict, settled, retrying or lost), with the event as JSON on its stdin. It has 10 seconds. Repeat the option for several hooks'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l ping -x -d 'Tell healthchecks.io, or a server like it, of the start and the end of the run. file:PATH names a file that holds the check; a SLUG needs HC_PING_KEY. CHECK_UUID in the environment does the same'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l ping-body -x -a 'on off' -d 'Send the last 10 kB of the output with the last ping'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l ping-wait -x -d 'How long the end of the run may wait for the pings; what is not sent by then is sent in the background'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l lock -x -k -a '(__supervise_listed locks)' -d 'Run only one at a time: if another run of yours on this machine holds the lock NAME, name that run and exit with 75. /PATH is a lock file that several users can share'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l lock-mode -x -d 'The mode of a new lock file, as for chmod (666). Without this option the umask decides'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l lock-wait -x -d 'How long to wait for the lock; 0 for no wait'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l if-busy -x -a 'fail skip wait replace' -d 'What to do if another run has the lock: exit with 75 (fail), exit with 0 (skip), wait for the lock without a bound (wait), or stop that run and begin (replace)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l slots -x -d 'Let up to N runs have the lock at once; with --if-busy replace, the oldest of them is stopped'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l start-jitter -x -d 'Wait for a random part of this time before the run begins. The wait is not part of the run'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l name -x -k -a '(__supervise_listed names)' -d 'Name the run. The other commands take NAME for the last run of that name'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l log -r -F -d 'Append a plain copy of the output to FILE'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l log-max -x -d 'How much output the record keeps, 64KiB or more: the beginning of the output in a quarter of SIZE, its end in the rest; 0 for none'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l no-record -d 'Leave no record of the run on disk'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l records-age -x -d 'How long a record is kept after the end of its run; off for no bound'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l records-number -x -d 'How many records are kept. The last runs of each name and the last failures are removed after all others'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l records-max -x -d 'How much space all records together may take; off for no bound, 0 to keep no record of an ended run'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l on-interrupt -x -a 'nothing rerun' -d 'What supervise recover does after supervise was killed or the machine went down: only stop what is left of the run (nothing), or also run it again (rerun)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l max-recoveries -x -d 'How often supervise recover may run the run again'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l keep-env -x -d 'Keep these environment variables in the record, so that supervise recover can set them again. The record has no other variables'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l redact -x -d 'Show *** instead of what this regular expression matches in the words of the command. Passwords, tokens and secrets are also found without a pattern; off turns that off. Repeat the option for several patterns'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l keep-secrets -d 'Keep the words that are shown as *** in a private file of the record until the run is over, so that supervise recover can run it again'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l pty -d 'Give the command its own terminal: most programs then print without delay, and the keys go to the command. A stdin that is not a terminal is left as it is'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l streams -x -a 'auto apart together' -d 'Give the command one pipe for stdout and stderr (together), which keeps their order, or two (apart). auto gives one if both are the same open file (a terminal, 2>&1) or the run is detached'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l timestamps -d 'Begin each line of output with the time: iso (the default), elapsed (seconds since the start), or a format of strftime(3)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l prefix -x -d 'Begin each line of output with TEXT'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l dry-run -d 'Print what would be run, with its limits and where each comes from, and run nothing'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s d -l detach -d 'Print the id of the run and return as soon as the command runs. Its output goes only into the record'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l detach-after -x -d 'Give control back (121) if the command still runs after this time: stdout and stderr are closed, and the run goes on as with --detach. Until then nothing differs from an ordinary run'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l detach-after-idle -x -d 'Give control back in the same way if the command has printed nothing for this time'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l json -d 'When control is given back, say so as a JSON object on stdout instead of a line on stderr'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l live -d 'While the command is silent, show on the terminal what the run is doing and how much time is left: on, off or auto. auto does so after 3 seconds (15 without a limit), if stdout and stderr are the terminal. The line disappears before the next output'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l heartbeat -x -d 'While the command is silent and its process tree is measurably active, say so on stderr each time this long has passed, for CI services that end a silent job. A command that hangs gets no such line'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l quiet-unless-failed -d 'Print nothing if the run succeeds. If it does not: the verdict, what was run, and the output (its last LINES lines)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l ci -x -a 'auto github gitlab buildkite plain off' -d 'Report to a CI service: github (annotations, outputs and summary of the step), gitlab (the diagnosis in a section) or buildkite (an annotation of a failure). auto finds the service by its variables; plain and off report to none'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l ci-fence -d 'In a job of GitHub, keep the runner from obeying commands (::error:: and the like) in the command\'s output. This is sure only where stdout and stderr are one pipe (2>&1)'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s q -l quiet -d 'Print only errors and the final message'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -s v -l verbose -d 'Print more messages: the start, access, and every end'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l config -r -F -d 'Read the configuration from FILE instead of your own; /dev/null for none'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l profile -x -k -a '(__supervise_listed profiles)' -d 'Also use the options of this profile in the configuration'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l help -d 'Show a help page and exit'
complete -c supervise -n 'not __supervise_rest >/dev/null; and not __supervise_asks' -l version -d 'Show the version and exit'
