# A stand-in for the parts of nixpkgs' lib that packaging/nix uses. Types are checked; options are merged by the one
# definition that they have.
rec {
  genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
  mapAttrsToList = make: set: map (name: make name set.${name}) (builtins.attrNames set);
  concatStrings = builtins.concatStringsSep "";
  cleanSourceWith = { name, src, filter }: builtins.path { inherit name filter; path = src; };
  licenses.mit = { spdxId = "MIT"; };

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkOption = option: { _type = "option"; } // option;
  mkEnableOption = what: mkOption {
    type = types.bool;
    default = false;
    description = "Whether to enable ${what}.";
  };
  literalExpression = text: { _type = "literalExpression"; inherit text; };

  types = rec {
    bool = builtins.isBool;
    str = builtins.isString;
    package = value: value ? outPath;
    listOf = type: value: builtins.isList value && builtins.all type value;
    attrsOf = type: value: builtins.isAttrs value && builtins.all type (builtins.attrValues value);
    either = one: other: value: one value || other value;
  };

  hm.dag.entryAfter = after: data: { inherit after data; };

  # Evaluates a module and its imports. Values below other options than services.binfmt-nix are returned as they are.
  evalModule =
    { module, pkgs, values }:
    let
      lib = import ./.;
      load = file: (if builtins.isFunction file then file else import file) { inherit config lib pkgs; };
      collect = file: let loaded = load file; in builtins.concatMap collect (loaded.imports or [ ]) ++ [ loaded ];
      modules = collect module;
      options = builtins.foldl' (all: one: all // (one.options.services.binfmt-nix or { })) { } modules;
      # Definitions of the option's own module, such as configFile.
      inner = builtins.foldl' (all: one: all // (if one ? config._type then { } else one.config.services.binfmt-nix or { })) { } modules;
      value =
        name: option:
        let found = values.${name} or inner.${name} or option.default or (throw "services.binfmt-nix.${name} is not set");
        in if option.type found then found else throw "services.binfmt-nix.${name} has the wrong type";
      unknown = builtins.filter (name: !(options ? ${name})) (builtins.attrNames values);
      config.services.binfmt-nix =
        if unknown == [ ] then builtins.mapAttrs value options else throw "unknown: ${toString unknown}";
      conditional = builtins.filter (one: one ? config._type) modules;
      outer = builtins.foldl' (all: one: all // (if one.config.condition then one.config.content else { })) { } conditional;
    in
    outer // config;
}
