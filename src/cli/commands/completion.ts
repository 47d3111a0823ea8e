import { command } from '../command.ts';
import { choice, type Values } from '../options.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

const positionals = {
  shell: choice(SHELLS, { required: true, describe: 'The shell' }),
};

export type CompletionArguments = Values<typeof positionals>;

export const completionCommand = command({
  usage: 'completion <shell>',
  summary: 'Print a completion script for a shell',
  positionals,
  options: {},
  examples: [
    ['completion bash >> ~/.bashrc', 'bash'],
    ['completion zsh > ~/.zfunc/_taxiflow', 'zsh, in a folder of its fpath'],
    ['completion fish > ~/.config/fish/completions/taxiflow.fish', 'fish'],
  ],
  load: async () => (await import('../handlers/completion.ts')).completion,
});
