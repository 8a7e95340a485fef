// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Has EIP-3009 by `v`, `r` and `s`, checks no signature, and cheats as it is told to, always without a revert.
contract CheatingAuthorizationToken is PlainToken {
    enum Cheat {
        None,
        /// Says that a used nonce is free, and does nothing, without a word, when it comes again.
        QuietOnAUsedNonce,
        /// Moves one unit less.
        TakesAFee,
        /// Uses the nonce up and moves nothing.
        MovesNothing,
        /// Moves the whole amount to somebody else.
        PaysAnother,
        /// Says that everybody has much, and moves nothing.
        LiesAboutBalances
    }

    string public constant version = "1";

    Cheat private cheat;
    mapping(address authorizer => mapping(bytes32 nonce => bool)) private used;

    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    function setCheat(Cheat cheat_) external {
        cheat = cheat_;
    }

    function spend(address authorizer, bytes32 nonce) external {
        used[authorizer][nonce] = true;
    }

    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name())),
                keccak256(bytes(version)),
                block.chainid,
                address(this)
            )
        );
    }

    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return cheat != Cheat.QuietOnAUsedNonce && used[authorizer][nonce];
    }

    function balanceOf(address account) public view override returns (uint256) {
        return cheat == Cheat.LiesAboutBalances ? type(uint128).max : super.balanceOf(account);
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32 nonce,
        uint8,
        bytes32,
        bytes32
    ) external {
        if (used[from][nonce]) {
            if (cheat == Cheat.QuietOnAUsedNonce) return;
            revert("used");
        }
        used[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
        if (cheat == Cheat.MovesNothing || cheat == Cheat.LiesAboutBalances) return;
        if (cheat == Cheat.TakesAFee) {
            _transfer(from, to, value - 1);
            _transfer(from, address(this), 1);
            return;
        }
        _transfer(from, cheat == Cheat.PaysAnother ? address(this) : to, value);
    }
}
