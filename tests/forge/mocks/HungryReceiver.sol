// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice Needs a certain amount of gas for whatever it is asked: coins, tokens that call it, or a signature. With less it
/// fails; as a wallet it says no.
contract HungryReceiver is IERC1271 {
    uint256 private immutable need;

    constructor(uint256 need_) {
        need = need_;
    }

    receive() external payable {
        eat();
    }

    function tokensReceived(address, uint256) external view {
        eat();
    }

    /// @dev A part of it runs out of gas, and it lives on and says no. Half of what it was given is for that part.
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        try this.eat{gas: gasleft() / 2}() {
            return IERC1271.isValidSignature.selector;
        } catch {
            return 0xffffffff;
        }
    }

    function eat() public view {
        uint256 start = gasleft();
        uint256 rounds;
        while (start - gasleft() < need) ++rounds;
    }
}
