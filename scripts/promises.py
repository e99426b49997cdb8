"""What shows each promise of the docs: (where it is made, promise, tests and drills).

A drill by its name, a test as FILE::NAME below tests/; tests/project/test_drills.py sees to it that
every one exists. `scripts/reliability.py` writes them into docs/reliability.md.
"""

from __future__ import annotations

_STORE, _SIEGE = "feedback/store/test_store.py", "feedback/store/test_siege.py"
_GUARDS, _BACKUP = "feedback/store/test_guards.py", "feedback/store/test_backup.py"
_MIGRATE, _SETS = "feedback/store/test_migrate.py", "feedback/store/test_data_sets.py"
_WEB, _DOORS = "dashboard/test_security.py", "serving/test_siege.py"
_AGAIN, _PAGES = "serving/test_second_siege.py", "dashboard/test_pages.py"
_FILES, _LINES = "market/test_files.py", "serving/test_connections.py"
_CAPSULE, _ABUSED = "loop/test_capsule.py", "learning/runs/test_abused_runs.py"
_STOPS, _SAME = "learning/runs/test_stopping.py", "loop/test_same_run.py"
_PACKAGE = "project/test_packaging.py"
_FORGED, _FIFTH = "feedback/store/test_forged_rows.py", "serving/test_fifth_siege.py"
_WORDS = "feedback/store/test_promises.py"

PROMISES: tuple[tuple[str, str, str], ...] = (
    ("store", "an acknowledged answer is on the disk", f"submit-kill, {_GUARDS}::test_an_answer_is_on_the_disk_before_it_is_acknowledged"),
    ("store", "each answer is stored once", f"raters, {_STORE}::test_one_key_from_many_threads_is_stored_once, {_WORDS}::test_a_retry_may_say_another_time_and_nothing_else"),
    ("store", "answers, questions, trials, journal: append-only", f"{_STORE}::test_the_database_itself_refuses_to_change_answers, {_SIEGE}::test_verify_misses_a_guard_that_is_gone_or_does_nothing"),
    ("store", "one answer per rater and query, corrections apart", f"{_STORE}::test_an_answer_must_fit_its_query, {_STORE}::test_a_correction_supersedes_and_the_old_answer_stays"),
    ("store", "writers queue for 30 s, readers never wait", f"locked, {_GUARDS}::test_readers_wait_for_no_writer"),
    ("store", "episodes are their content", f"{_STORE}::test_an_altered_episode_file_is_noticed, {_STORE}::test_an_episode_id_is_never_a_path"),
    ("store", "names tell people apart", f"{_SIEGE}::test_a_new_rater_who_looks_like_another_is_refused, {_DOORS}::test_an_account_looks_like_no_other_rater"),
    ("store", "nothing is cut; half a character in the browser costs no answer", f"{_SIEGE}::test_half_characters_get_a_sentence_from_every_query, {_AGAIN}::test_half_a_character_in_a_note_costs_no_answer"),
    ("store", "a lost server is a sentence, and a retry stores once", f"{_GUARDS}::test_a_server_that_leaves_in_a_transaction_is_a_sentence_and_a_retry_stores_once"),
    ("store", "a data set is known by its bars; trials and seals follow it", f"{_SETS}::test_random_versions_are_known_again_among_strangers, {_SETS}::test_a_changed_past_is_said_every_time_and_seals_stay"),
    ("store", "verify names what was altered, deleted or put in by hand", f"{_SIEGE}::test_verify_sees_every_row_that_was_changed_by_hand, {_GUARDS}::test_verify_sees_what_would_drop_or_change_rows, {_GUARDS}::test_verify_sees_it_on_a_server_too, {_FORGED}::test_every_value_that_was_changed_is_seen, {_GUARDS}::test_verify_sees_a_lost_reference_on_a_server"),
    ("store", "an anchor shows what was cut off; an empty one is an error", f"{_SIEGE}::test_an_anchor_of_the_journal_shows_what_was_cut_off"),
    ("store", "an import checks every line, and stores all rankings or none", f"{_SIEGE}::test_an_import_refuses_cut_lying_and_impossible_files, {_BACKUP}::test_a_malformed_jsonl_names_the_line_and_stores_no_answer, {_WORDS}::test_an_import_joins_the_chain_of_the_store_that_it_enters"),
    ("store", "no cell of a table is a formula", f"{_SIEGE}::test_full_width_formulas_are_defused_and_come_back, test_outside_text.py::test_no_table_that_a_command_writes_holds_a_formula, {_PAGES}::test_no_cell_of_a_shown_table_is_a_formula_when_it_is_saved"),
    ("store", "a backup is whole or refused, and holds no links or pipes", f"{_SIEGE}::test_nothing_is_restored_from_a_backup_that_lacks_a_file, {_SIEGE}::test_a_manifest_that_counts_otherwise_is_refused, {_GUARDS}::test_a_backup_of_pipes_and_links_is_refused_and_not_waited_for, {_GUARDS}::test_a_folder_of_a_backup_that_is_a_link_is_refused, {_GUARDS}::test_a_store_that_came_meanwhile_is_not_restored_over"),
    ("store", "what reads works on a medium that may only be read", f"{_SIEGE}::test_a_store_is_read_where_nothing_may_be_written"),
    ("store", "an upgrade is whole or not begun", f"migrate, {_MIGRATE}::test_a_newer_schema_is_refused_in_one_sentence"),
    ("dashboard", "this machine alone, without sign-in; then with the start token", f"ports, {_WEB}::test_other_addresses_need_sign_in, {_WEB}::test_other_users_of_this_machine_need_the_start_token"),
    ("dashboard", "unknown hosts, other sites, lengths said twice are refused", f"{_WEB}::test_rebound_host_names_are_refused, {_AGAIN}::test_a_host_that_is_more_than_a_name_and_a_port_is_refused, {_WEB}::test_another_sites_page_cannot_write, {_AGAIN}::test_a_length_that_is_said_twice_is_refused"),
    ("dashboard", "nothing is open before sign-in but its page", f"{_WEB}::test_nothing_is_reachable_before_sign_in, {_AGAIN}::test_below_the_api_nothing_but_its_routes_is_open"),
    ("dashboard", "every reply carries the protective headers", f"{_WEB}::test_every_reply_carries_the_headers, {_WEB}::test_refusals_carry_the_headers_too"),
    ("dashboard", "forged answers are refused with a sentence", f"routes, {_WEB}::test_forged_answer_gets_a_sentence_and_stores_nothing, {_DOORS}::test_a_forged_answer_is_refused_with_a_sentence"),
    ("dashboard", "names show after the vote only, never after a skip", f"{_PAGES}::test_episode_is_shown_by_permalink_and_only_after_the_vote, {_PAGES}::test_who_leads_or_works_alone_stays_blind_until_asking"),
    ("dashboard", "answers outlive tab, browser and server; the next person sends none", "dashboard/test_outbox.py::test_an_answer_outlives_its_tab_and_arrives_once, dashboard/test_outbox.py::test_who_signs_in_next_neither_sees_nor_sends_them, dashboard/test_browser.py::test_killed_server_loses_and_doubles_nothing"),
    ("dashboard", "data sets by name, files of one folder alone", f"{_WEB}::test_data_is_chosen_by_name_never_by_path, {_FIFTH}::test_no_option_of_a_source_makes_a_page_read_a_file, serving/test_data_folder.py::test_everything_else_is_refused_without_a_path"),
    ("dashboard", "uploads: admins' pages, 20 MB, 20 a session, checked, and a set is never lost by replacing it", f"bombs, {_DOORS}::test_only_sessions_with_an_upload_field_send_files_and_only_so_many, {_WEB}::test_uploads_stay_in_their_folder, {_AGAIN}::test_bars_that_cannot_be_replaced_stay"),
    ("dashboard", "invitations are used once, also through two servers", f"dashboard/test_invitations.py::test_a_link_lets_somebody_choose_a_password_once, {_AGAIN}::test_an_invitation_is_used_once_also_through_two_servers, {_FIFTH}::test_an_invitation_ends_after_seven_days"),
    ("dashboard", "five guesses lock, also at once; refusals tell nothing", f"{_DOORS}::test_eighty_guesses_at_once_are_five_tries, {_DOORS}::test_a_refusal_ends_at_a_whole_half_second"),
    ("dashboard", "signing out ends all sign-ins; clocks lock nobody out", f"{_DOORS}::test_a_sign_in_ends_with_signing_out, {_FIFTH}::test_a_sign_in_under_way_while_the_account_changes_opens_nothing, {_FIFTH}::test_a_part_that_draws_itself_again_looks_at_who_sees_it, {_DOORS}::test_a_clock_that_ran_ahead_locks_nobody_out"),
    ("dashboard", "a provider's word is taken only when verified and genuine", f"{_DOORS}::test_an_address_that_is_not_verified_enters_nowhere, dashboard/test_oidc.py::test_a_token_that_was_not_made_for_this_sign_in_opens_nothing"),
    ("dashboard", "half requests, floods and hang-ups keep nobody out", f"{_LINES}::test_half_a_request_is_closed_in_time, {_LINES}::test_too_many_connections_are_closed_and_others_served, {_LINES}::test_repeated_lines_are_dropped_and_other_kinds_are_not, {_DOORS}::test_one_attempt_too_many_waits_and_is_not_read, {_AGAIN}::test_who_hangs_up_in_a_request_leaves_no_traceback, {_LINES}::test_who_does_not_read_the_answer_is_not_waited_for, {_FIFTH}::test_a_form_that_never_ends_is_answered_in_time"),
    ("dashboard", "files 0600, folders 0700: store, backups, jobs, log", f"{_AGAIN}::test_everything_that_a_session_leaves_is_for_its_owner_alone"),
    ("dashboard", "no password in ps, records or the log; nothing that was said in the log", f"{_DOORS}::test_a_job_hides_urls_from_ps_and_its_record, {_DOORS}::test_no_spelling_of_a_password_is_logged, test_logs.py::test_a_rater_is_followed_without_what_was_said"),
    ("dashboard", "a damaged episode stops one question, and is named", f"{_DOORS}::test_a_missing_episode_file_passes_over_its_query_only, {_PAGES}::test_an_admin_hears_of_questions_that_cannot_be_shown"),
    ("dashboard", "errors show no paths", f"{_WEB}::test_broken_store_leaks_no_path"),
    ("data", "bad bars are refused by file, row, column and fix", f"market-fuzz, {_FILES}::test_bad_row_is_named_with_its_column_and_fix, {_FILES}::test_check_reports_every_problem_at_once"),
    ("data", "saved bars are read back bit for bit", f"{_FILES}::test_files_round_trip_bit_for_bit"),
    ("data", "sizes are checked before reading, also of what repeats", f"{_FILES}::test_huge_files_are_refused_before_reading, {_FILES}::test_a_parquet_file_that_repeats_without_end_is_refused_before_it_is_decoded"),
    ("data", "what a file leaves open is asked, never guessed", "market/test_unclear_exports.py, market/test_joins.py::test_what_a_membership_leaves_open_or_says_twice_is_refused"),
    ("data", "the fast reader gives what the careful one does", "market/test_usual.py"),
    ("data", "features see no future", "market/test_features.py"),
    ("SECURITY", "no file that is read runs code", "blob-fuzz, coverage-fuzz, learning/policy/test_saved.py::test_a_policy_says_when_its_base_has_changed"),
    ("SECURITY", "names from files send no command to a terminal", "test_outside_text.py::test_a_name_from_a_file_sends_no_command_to_the_terminal"),
    ("SECURITY", "a secret that protects nothing is refused", f"{_DOORS}::test_a_secret_that_protects_nothing_is_refused"),
    ("SECURITY", "a capsule writes nowhere else, runs no code, and is 'the same' only where all of it is", f"blob-fuzz, {_CAPSULE}::test_a_command_with_a_second_place_is_refused, {_CAPSULE}::test_what_lacks_a_part_proves_nothing, {_CAPSULE}::test_what_a_capsule_says_beside_the_truth_is_seen"),
    ("SECURITY", "arrays, preferences and workbooks that lie are refused before memory is taken", "blob-fuzz, bombs, test_npz.py::test_arrays_that_lie_are_refused_before_memory_is_asked_for, learning/tasks/test_preferences.py::test_columns_that_contradict_each_other_are_refused, market/test_damaged_workbooks.py::test_a_sheet_that_is_none_is_refused"),
    ("cli", "bad input is one sentence", "arguments, outputs, enospc, cli/test_foreign_runs.py"),
    ("cli", "absurd sizes are refused with the memory they would take", "loop/test_same_run.py::test_absurd_sizes_are_refused_with_what_they_would_take, bench/test_coverage.py::test_absurd_sizes_of_benchmarks_are_refused"),
    ("learning", "a killed or stopped training ends as it would have, also renamed, linked, copied or held", f"train-kill, ckpt-corrupt, ddp-rank-kill, {_STOPS}::test_a_stopped_experiment_continues_bit_identically, {_ABUSED}::test_any_name_and_a_link_may_be_a_runs_place, {_ABUSED}::test_a_run_that_was_copied_or_moved_goes_on_as_it_would_have, {_ABUSED}::test_a_process_that_was_held_for_a_while_goes_on"),
    ("learning", "--resume refuses other bars, settings, seeds, traders, bases and code by name, and harms nothing", f"{_SAME}::test_other_bars_settings_and_seeds_are_refused_by_name, {_SAME}::test_another_version_is_refused, {_SAME}::test_a_base_whose_file_changed_is_another_run, {_ABUSED}::test_a_run_of_rankings_goes_on_with_what_it_began_with_alone"),
    ("learning", "two trainings never write one run", f"{_STOPS}::test_a_run_that_another_process_writes_keeps_its_settings, {_ABUSED}::test_a_second_training_in_the_same_place_is_refused_and_hurts_nothing"),
    ("learning", "Ctrl+C, a closed terminal and SIGTERM write a checkpoint", f"{_STOPS}::test_ctrl_c_and_a_closed_terminal_stop_a_training_on_pnl_which_continues"),
    ("learning", "an overflowing reward leaves finite weights", "nan-gradients"),
    ("store", "a row of an impossible year blocks nothing and can be repaired", f"{_SIEGE}::test_a_row_of_an_impossible_year_blocks_nothing, {_SIEGE}::test_times_are_written_with_four_digits"),
    ("store", "numbers that overflow get a sentence", "test_json.py::test_what_nothing_can_keep_is_refused"),
    ("dashboard", "raters answer beside a flood of sign-ins; time tells no names", f"flood, {_DOORS}::test_one_person_who_signs_in_gives_way_to_nobody, {_DOORS}::test_one_attempt_too_many_waits_and_is_not_read, {_DOORS}::test_a_refusal_ends_at_a_whole_half_second"),
    ("dashboard", "a damaged record of a job hides no other, and stops no other process", "serving/test_jobs.py::test_one_damaged_record_hides_no_other_job, serving/test_jobs.py::test_a_record_that_names_another_process_stops_none"),
    ("dependencies", "the wheel carries a bill of materials, and the page every licence", f"{_PACKAGE}::test_the_wheel_says_what_it_rests_on, {_PACKAGE}::test_the_page_of_dependencies_is_up_to_date"),
    ("dependencies", "an audit that got no answer does not pass; the newest versions are tried on a schedule", f"{_PACKAGE}::test_an_audit_that_got_no_answer_does_not_pass, {_PACKAGE}::test_the_schedule_tries_the_newest_versions_and_the_audit"),
)  # fmt: skip


def table() -> str:
    """The promises as a Markdown table; tests by their names alone, which a search finds."""
    head = "| made in | promise | shown by |\n|---|---|---|"
    rows = [
        f"| {where} | {promise} | {', '.join(f'`{_short(word)}`' for word in shown.split(', '))} |"
        for where, promise, shown in PROMISES
    ]
    return "\n".join([head, *rows])


def _short(word: str) -> str:
    return word.rpartition("::")[2]
