# Types a part of a command and a tab in a terminal, and prints what zsh runs then.
zmodload zsh/zpty
zpty shell 'PS1= zsh -f -i'
zpty -w shell 'binfmt-nix() { echo "ran"":$1:" }; autoload -Uz compinit; compinit -u -D; echo loa""ded'
zpty -r shell said '*loaded*'
zpty -w shell $'binfmt-nix regi\t'
zpty -r shell said '*ran:*:*'
print -r -- $said
