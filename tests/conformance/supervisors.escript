#!/usr/bin/env escript
%%! +S 1 +A 1
%% Runs scenarios through Erlang's own supervisors and tells what happened, in the lines that `lines.py` describes.
%%
%% Reads one scenario a line from stdin, as an Erlang term; answers it with lines and at last "done". A child process is
%% the least that can be told what to do. Births are written by the start functions, ends come from the tracer of the
%% virtual machine (so a killed process is seen as well); both carry numbers of one strictly monotonic sequence, and a
%% process is traced as ended before anybody is told of it: sorting by that number gives the order of cause and effect.
%% There is no sleep: an action is over when every supervisor answers, lists only live children, and nothing else lives.
-mode(compile).
-export([main/1, init/1, start/3, start_member/4, fails/3, lives/4]).
-record(stage, {log, pids, paths, counts, next}).

main(_) ->
    logger:set_primary_config(level, none),
    loop().

loop() ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            {ok, Tokens, _} = erl_scan:string(Line),
            {ok, Scenario} = erl_parse:parse_term(Tokens),
            io:put_chars([run(Scenario), "done\n"]),
            loop()
    end.

run({Tree, Next, Actions}) ->
    Table = fun(Type) -> ets:new(table, [Type, public]) end,
    Stage = #stage{log = Table(ordered_set), pids = Table(set), paths = Table(set), counts = Table(set),
                   next = Table(set)},
    ets:insert(Stage#stage.next, Next),
    Tracer = spawn(fun() -> tracer(Stage) end),
    {Pid, Monitor} = spawn_monitor(fun() -> receive go -> play(Stage, Tree, Actions) end end),
    erlang:trace(Pid, true, [procs, set_on_spawn, strict_monotonic_timestamp, {tracer, Tracer}]),
    Pid ! go,
    receive {'DOWN', Monitor, process, Pid, Why} -> Why end,
    Delivered = erlang:trace_delivered(all),
    receive {trace_delivered, all, Delivered} -> ok end,
    Tracer ! {flush, self()},
    receive flushed -> ok end,
    Lines = [line(Stage, What) || {_, What} <- ets:tab2list(Stage#stage.log)],
    [ets:delete(element(N, Stage)) || N <- lists:seq(2, 6)],
    case Why of
        normal -> Lines;
        _ -> [Lines, io_lib:format("broken ~0p~n", [Why])]
    end.

tracer(Stage) ->
    receive
        {trace_ts, Pid, exit, Reason, {_, Order}} ->
            ets:insert(Stage#stage.log, {Order, {exit, Pid, Reason}}),
            tracer(Stage);
        {flush, From} ->
            From ! flushed;
        _ ->
            tracer(Stage)
    end.

log(Stage, What) ->
    ets:insert(Stage#stage.log, {erlang:unique_integer([monotonic]), What}).

line(_, {say, Text}) -> [Text, $\n];
line(_, {birth, Path, Count}) -> io_lib:format("birth ~s#~b~n", [Path, Count]);
line(_, {ended, Path, Count, Reason}) -> io_lib:format("end ~s#~b ~s~n", [Path, Count, kind(Reason)]);
line(Stage, {exit, Pid, Reason}) ->
    case ets:lookup(Stage#stage.pids, Pid) of
        [{_, Path, Count}] -> line(Stage, {ended, Path, Count, Reason});
        [] -> []  % none of the tree's
    end.

kind({shutdown, {failed_to_start_child, _, _}}) -> "start_failed";
kind({shutdown, _}) -> "shutdown";
kind(Reason) -> io_lib:format("~0p", [Reason]).

%% ---- the play

play(Stage, Tree, Actions) ->
    process_flag(trap_exit, true),
    log(Stage, {say, "step 0"}),
    case start(Stage, Tree, "/") of
        {ok, Root} ->
            case settle(Stage, Root) of
                up -> acts(Stage, Root, 1, Actions);
                down -> over(Stage, Root)  % a child crashed while a later one was starting
            end;
        {error, Reason} ->
            receive {'EXIT', _, _} -> ok end,
            log(Stage, {say, ["over ", kind(Reason)]})
    end.

acts(Stage, Root, Step, []) ->
    log(Stage, {say, io_lib:format("step ~b", [Step])}),
    exit(Root, shutdown),
    over(Stage, Root);
acts(Stage, Root, Step, [Action | Rest]) ->
    log(Stage, {say, io_lib:format("step ~b", [Step])}),
    Answer = act(Stage, Action),
    case settle(Stage, Root) of
        up ->
            log(Stage, {say, ["answer ", Answer]}),
            show(Stage, "/", Root),
            acts(Stage, Root, Step + 1, Rest);
        down ->
            over(Stage, Root)
    end.

over(Stage, Root) ->
    receive {'EXIT', Root, Reason} -> ok end,
    settle(Stage, Root),
    log(Stage, {say, ["over ", kind(Reason)]}).

act(Stage, {leave, Path, Reason}) ->
    case pid(Stage, Path) of
        nobody -> "nobody";
        Pid -> Pid ! {leave, Reason}, wait_down(Pid), "done"
    end;
act(Stage, {kill, Path}) ->
    case pid(Stage, Path) of
        nobody -> "nobody";
        Pid -> exit(Pid, kill), wait_down(Pid), "done"
    end;
act(Stage, {both, First, Second}) ->  % children of one supervisor, which learns of both deaths at once
    case {pid(Stage, parent(First)), pid(Stage, First), pid(Stage, Second)} of
        {Parent, A, B} when Parent =/= nobody, A =/= nobody, B =/= nobody, A =/= B ->
            sys:suspend(Parent),
            A ! {leave, crash}, wait_queued(Parent, 1),
            B ! {leave, crash}, wait_queued(Parent, 2),
            sys:resume(Parent),
            "done";
        _ ->
            "nobody"
    end;
act(Stage, {stop, Path}) ->
    asked(Stage, Path, fun(Parent) -> supervisor:terminate_child(Parent, Path) end);
act(Stage, {start, Path}) ->
    asked(Stage, Path, fun(Parent) -> supervisor:restart_child(Parent, Path) end);
act(Stage, {cycle, Path}) ->
    asked(Stage, Path, fun(Parent) ->
        case supervisor:terminate_child(Parent, Path) of
            ok -> supervisor:restart_child(Parent, Path);
            Error -> Error
        end
    end);
act(Stage, {delete, Path}) ->
    asked(Stage, Path, fun(Parent) -> supervisor:delete_child(Parent, Path) end);
act(Stage, {add, Path, Node}) ->
    asked(Stage, Path, fun(Parent) -> supervisor:start_child(Parent, child_spec(Stage, Node, Path)) end);
act(Stage, {add_member, Path}) ->  % the template's start function gets the name as well
    asked(Stage, Path, fun(Pool) ->
        case pid(Stage, Path) of
            nobody -> supervisor:start_child(Pool, [lists:last(string:split(Path, "/", all))]);
            _ -> {error, running}  % to Erlang members have no names
        end
    end);
act(Stage, {stop_member, Path}) ->
    case pid(Stage, Path) of
        nobody -> "nobody";
        Pid -> asked(Stage, Path, fun(Pool) -> supervisor:terminate_child(Pool, Pid) end)
    end;
act(Stage, {next, Path, Behaviours}) ->
    ets:insert(Stage#stage.next, {Path, Behaviours}),
    "done";
act(_, {wait, Milliseconds}) ->
    receive after Milliseconds -> "done" end.

asked(Stage, Path, Ask) ->
    case pid(Stage, parent(Path)) of
        nobody -> "noproc";
        Parent ->
            case Ask(Parent) of
                ok -> "ok";
                {ok, undefined} -> "ignored";
                {ok, _} -> "ok";
                {error, {already_started, _}} -> "running";
                {error, Known} when Known =:= running; Known =:= restarting; Known =:= not_found;
                                    Known =:= already_present -> atom_to_list(Known);
                {error, {bad_combination, _}} -> "refused";
                {error, _} -> "failed"
            end
    end.

%% ---- facts to wait for

wait_down(Pid) ->
    Monitor = monitor(process, Pid),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

wait_queued(Pid, Length) ->
    case process_info(Pid, message_queue_len) of
        {_, Length} -> ok;
        _ -> erlang:yield(), wait_queued(Pid, Length)
    end.

settle(Stage, Root) ->
    Before = ets:info(Stage#stage.log, size),
    Listed = lists:sort(listed([Root], [])),
    Alive = lists:sort([Pid || {Pid, _, _} <- ets:tab2list(Stage#stage.pids), is_process_alive(Pid)]),
    case {Listed =:= Alive, ets:info(Stage#stage.log, size)} of
        {true, Before} when Listed =:= [] -> down;
        {true, Before} -> up;
        _ -> erlang:yield(), settle(Stage, Root)
    end.

%% What the supervisors say they have; a child that they do not know yet to be dead is listed, and is not alive.
listed([], Found) ->
    Found;
listed([Pid | Rest], Found) when is_pid(Pid) ->
    case get({supervisor, Pid}) of
        true ->
            try supervisor:which_children(Pid) of
                Children ->
                    [put({supervisor, Child}, true) || {_, Child, supervisor, _} <- Children, is_pid(Child)],
                    listed([Child || {_, Child, _, _} <- Children, Child =/= undefined] ++ Rest, [Pid | Found])
            catch
                exit:_ when Rest =:= [], Found =:= [] -> [];  % the root has ended
                exit:_ -> [ended]
            end;
        _ ->
            listed(Rest, [Pid | Found])
    end;
listed([restarting | _], _) ->
    [restarting].

%% ---- what there is to see

show(Stage, Path, Supervisor) ->
    Children = supervisor:which_children(Supervisor),
    Counts = supervisor:count_children(Supervisor),
    log(Stage, {say, ["list ", Path | shown_children(Stage, Children)]}),
    Count = fun(What) -> integer_to_list(proplists:get_value(What, Counts)) end,
    log(Stage, {say, ["count ", Path, [[" ", Count(What)] || What <- [specs, active, supervisors, workers]]]}),
    Below = [{path(Stage, Child), Child} || {_, Child, supervisor, _} <- lists:reverse(Children), is_pid(Child)],
    [show(Stage, Name, Child) || {Name, Child} <- case pool(Children) of true -> lists:sort(Below); false -> Below end].

shown_children(Stage, Children) ->
    case pool(Children) of  % Erlang leaves the order of members open
        true -> lists:sort([[" ", path(Stage, Child), $=, shown(Child)] || {_, Child, _, _} <- Children]);
        false -> [[" ", Id, $=, shown(Child)] || {Id, Child, _, _} <- Children]
    end.

pool([{undefined, _, _, _} | _]) -> true;
pool(_) -> false.

path(Stage, Pid) -> ets:lookup_element(Stage#stage.pids, Pid, 2).

shown(Child) when is_pid(Child) -> "up";
shown(undefined) -> "down";
shown(restarting) -> "restarting".

pid(Stage, Path) ->
    case ets:lookup(Stage#stage.paths, Path) of
        [{_, Pid}] -> case is_process_alive(Pid) of true -> Pid; false -> nobody end;
        [] -> nobody
    end.

parent(Path) ->
    case string:split(Path, "/", trailing) of
        ["", _] -> "/";
        [Parent, _] -> Parent
    end.

below("/", Name) -> "/" ++ Name;
below(Path, Name) -> Path ++ "/" ++ Name.

%% ---- the tree

init({Stage, #{flags := Flags, template := Node = #{spec := Spec}}, Path}) ->
    {ok, {Flags, [Spec#{id => member, start => {?MODULE, start_member, [Stage, Node, Path]}}]}};
init({Stage, #{flags := Flags, children := Children}, Path}) ->
    {ok, {Flags, [child_spec(Stage, Node, below(Path, maps:get(name, Node))) || Node <- Children]}}.

child_spec(Stage, Node = #{spec := Spec}, Path) ->
    Spec#{id => Path, start => {?MODULE, start, [Stage, Node, Path]}}.

start_member(Stage, Node, Pool, Name) ->
    start(Stage, Node, below(Pool, Name)).

%% Runs in the supervisor above. The end of what did not come up is written here: gen acknowledges before it exits.
start(Stage, Node = #{flags := _}, Path) ->
    Count = birth(Stage, Path),
    case supervisor:start_link(?MODULE, {Stage, Node, Path}) of
        {ok, Pid} ->
            is_here(Stage, Path, Count, Pid),
            case Path of "/" -> put({supervisor, Pid}, true); _ -> ok end,
            {ok, Pid};
        {error, Reason} ->
            log(Stage, {ended, Path, Count, Reason}),
            {error, Reason}
    end;
start(Stage, Node, Path) ->
    Count = birth(Stage, Path),
    case next(Stage, Path) of
        ignore ->
            log(Stage, {ended, Path, Count, ignore}),
            ignore;
        fail ->
            proc_lib:start_link(?MODULE, fails, [Stage, Path, Count]);
        {crash, Sibling} ->
            act(Stage, {leave, Sibling, crash}),
            proc_lib:start_link(?MODULE, lives, [Stage, Node, Path, Count]);
        ready ->
            proc_lib:start_link(?MODULE, lives, [Stage, Node, Path, Count])
    end.

birth(Stage, Path) ->
    Count = ets:update_counter(Stage#stage.counts, Path, 1, {Path, 0}),
    log(Stage, {birth, Path, Count}),
    Count.

is_here(Stage, Path, Count, Pid) ->
    ets:insert(Stage#stage.pids, {Pid, Path, Count}),
    ets:insert(Stage#stage.paths, {Path, Pid}).

next(Stage, Path) ->
    case ets:lookup(Stage#stage.next, Path) of
        [{_, [Next | Rest]}] -> ets:insert(Stage#stage.next, {Path, Rest}), Next;
        _ -> ready
    end.

fails(Stage, Path, Count) ->
    is_here(Stage, Path, Count, self()),
    exit(start_failed).

lives(Stage, #{when_asked := WhenAsked}, Path, Count) ->
    process_flag(trap_exit, WhenAsked =/= obeys),
    is_here(Stage, Path, Count, self()),
    proc_lib:init_ack({ok, self()}),
    lives(WhenAsked).

lives(WhenAsked) ->
    receive
        {leave, Reason} -> exit(Reason);
        {'EXIT', _, shutdown} when WhenAsked =:= crashes -> exit(crash);
        {'EXIT', _, shutdown} -> lives(WhenAsked);
        {'EXIT', _, Reason} -> exit(Reason)  % its supervisor was killed: gen_server ends too (S12)
    end.
