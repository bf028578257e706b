# Completion of gpu-gate's words in fish.

function __gpu_gate_first
    test (count (commandline -opc)) -eq 1
end

function __gpu_gate_in --description 'Is it one of these subcommands, before any --?'
    set -l words (commandline -opc)
    not contains -- -- $words
    and set -q words[2]
    and contains -- $words[2] $argv
end

function __gpu_gate_behind_dashes
    set -l words (commandline -opc)
    test "$words[2]" = run
    and contains -- -- $words
end

function __gpu_gate_command --description 'What the command behind -- completes to'
    set -l words (commandline -opc)
    set -e words[1..(contains -i -- -- $words)]
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

function __gpu_gate_gpus --description 'A line for each GPU, none where they cannot be read'
    set -l words (commandline -opc)
    timeout 3 $words[1] status --json 2>/dev/null | sed -n '
      /^    "index": /{s/[^0-9]//g;h}
      /^    "name": "/{s/^ *"name": "//;s/",*$//;s/[^A-Za-z0-9 ().+/_-]//g;H;x;s/\n/\t/p}'
end

complete -c gpu-gate -f
complete -c gpu-gate -n __gpu_gate_first -a run -d 'wait, claim, run the command'
complete -c gpu-gate -n __gpu_gate_first -a wait -d 'wait, print the GPUs, claim nothing'
complete -c gpu-gate -n __gpu_gate_first -a hold -d 'wait, claim, print, hold for another process'
complete -c gpu-gate -n __gpu_gate_first -a status -d 'every GPU, who holds it, who waits'
complete -c gpu-gate -n __gpu_gate_first -a help -d 'a text on a subcommand'
complete -c gpu-gate -n __gpu_gate_first -l help -d 'what there is'
complete -c gpu-gate -n __gpu_gate_first -l version -d 'its version'
complete -c gpu-gate -n '__gpu_gate_in help' -a 'run wait hold status'

set -l common '__gpu_gate_in run wait hold'
complete -c gpu-gate -n $common -s n -l count -x -d 'how many GPUs, all or nothing (1)'
complete -c gpu-gate -n $common -l min-free-mb -x -d 'at least so many MiB free on each'
complete -c gpu-gate -n $common -l max-util -x -d 'at most so many percent busy'
complete -c gpu-gate -n $common -l only -x -a '(__fish_complete_list , __gpu_gate_gpus)' -d 'choose among these'
complete -c gpu-gate -n $common -l exclude -x -a '(__fish_complete_list , __gpu_gate_gpus)' -d 'never these'
complete -c gpu-gate -n $common -l timeout -x -d 'give up after so many seconds (never)'
complete -c gpu-gate -n $common -l poll -x -d 'seconds between looks at the GPUs (5)'
complete -c gpu-gate -n $common -s q -l quiet -d 'no notices, only errors'
complete -c gpu-gate -n $common -l ids -x -a 'index uuid' -d 'how to name the GPUs'
complete -c gpu-gate -n '__gpu_gate_in wait hold status' -l json -d machine-readable
complete -c gpu-gate -n '__gpu_gate_in hold' -l pid -x -a '(__fish_complete_pids)' -d 'hold until this process ends'
complete -c gpu-gate -n '__gpu_gate_in hold' -l for -x -d 'hold at most so long (90, 45m, 2h)'
complete -c gpu-gate -n '__gpu_gate_in run wait hold status' -s h -l help -d 'this subcommand in short'

complete -c gpu-gate -n __gpu_gate_behind_dashes -a '(__gpu_gate_command)'
