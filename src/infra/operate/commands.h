/* The operator's commands, each in a file of its own. */
#ifndef SRC_INFRA_OPERATE_COMMANDS_H
#define SRC_INFRA_OPERATE_COMMANDS_H

int operate_events(unsigned n_args, char *const *args);
int operate_replay(unsigned n_args, char *const *args);
int operate_export(unsigned n_args, char *const *args);
int operate_backup(unsigned n_args, char *const *args);
int operate_report(unsigned n_args, char *const *args);
int operate_verify(unsigned n_args, char *const *args);
int operate_rebuild(unsigned n_args, char *const *args);
int operate_flow(unsigned n_args, char *const *args);
#endif
